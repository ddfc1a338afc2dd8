"""Who calls the shop while it is fuzzed: anybody, a customer, staff and a service.

Random requests log out, change roles and close accounts, the caller's own too. Whoever finds that his token
has died signs in again, as somebody new if need be, so that a role is never fuzzed as nobody in particular.
"""

import http.client
import itertools
import json
import random
from collections.abc import Iterator
from typing import Any, Final
from urllib.parse import urlsplit
from uuid import uuid4

PASSWORD: Final = "correct horse battery staple 7"
ROLES: Final = {"customer": 1, "staff": 2, "service": 3}
ANYBODY: Final = "anybody"
CALLERS: Final = (ANYBODY, *ROLES)

MAX_TRIES: Final = 40
"""Of signing in. Every try comes from another address, as attempts are limited by address."""


class Wire:
    """Plain calls of the API: JSON in and out, each over a connection of its own."""

    def __init__(self, url: str) -> None:
        parts = urlsplit(url)
        self._host, self._port = str(parts.hostname), parts.port
        self._addresses = _addresses()

    def call(self, method: str, path: str, body: Any = None, token: str | None = None) -> tuple[int, Any]:
        """Status and JSON body. Comes from the next of the machine's own addresses."""
        source = (next(self._addresses), 0)
        connection = http.client.HTTPConnection(self._host, self._port, timeout=30, source_address=source)
        headers = {"Content-Type": "application/json"} if body is not None else {}
        if token is not None:
            headers["Authorization"] = f"Bearer {token}"
        try:
            connection.request(method, path, None if body is None else json.dumps(body), headers)
            answer = connection.getresponse()
            raw = answer.read()
        finally:
            connection.close()
        return answer.status, json.loads(raw) if raw else None


class Person:
    """Somebody with a role; `token` is good whenever it is asked for."""

    def __init__(self, wire: Wire, boss: dict[str, str], role: int) -> None:
        self.role = role
        self.user_id = 0
        self.times_signed_in = 0
        self._wire = wire
        self._boss = boss
        self._login: dict[str, str] | None = None
        self._token: str | None = None

    @property
    def token(self) -> str:
        if self._token is None:
            self._token = self._sign_in()
        return self._token

    def lose(self) -> None:
        """The token may have died."""
        self._token = None

    def _sign_in(self) -> str:
        for _ in range(MAX_TRIES):
            self._login = self._login or self._register()
            status, body = self._wire.call("POST", "/v1/sessions", self._login)
            if status == 201 and body["user"]["role"] == self.role:
                self.times_signed_in += 1
                self.user_id = int(body["user"]["user_id"])
                return str(body["access_token"])
            # Closed, of another role by now, or guessed at too often: somebody new takes the place.
            self._login = None
        raise AssertionError(f"nobody with role {self.role} could sign in: {status} {body}")

    def _register(self) -> dict[str, str]:
        login = {"email": f"{uuid4().hex}@fuzz.example", "password": PASSWORD}
        user = self._must("POST", "/v1/users", {**login, "nickname": "Fuzz"}, None)
        if self.role != ROLES["customer"]:
            boss = self._must("POST", "/v1/sessions", self._boss, None)["access_token"]
            self._must("PATCH", f"/v1/users/{user['user_id']}", {"role": self.role}, boss)
        return login

    def _must(self, method: str, path: str, body: Any, token: str | None) -> Any:
        for _ in range(MAX_TRIES):
            status, answer = self._wire.call(method, path, body, token)
            if status < 300:
                return answer
        raise AssertionError(f"{method} {path}: {status} {answer}")


def _addresses() -> Iterator[str]:
    """All of 127.0.0.0/8 is this machine."""
    first = random.randrange(60_000)
    return (f"127.0.{n // 250 % 240}.{2 + n % 250}" for n in itertools.count(first))
