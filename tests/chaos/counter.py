"""The shop's counter as a customer knows it: every request is sent again until it has a definite answer.

Two addresses; whoever gets no answer at one goes to the other. What is sent again is the same bytes.
"""

import asyncio
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Final

import aiohttp
import msgspec

from adapters.api_call import TRY_AGAIN, Answer, ApiCall, answer_of, encode, headers_of
from tests.chaos.notes import Notes

ATTEMPT_S: Final = 4.0
"""Of one try. Longer than an order is waited for."""
WAIT: Final = "wait=2"
PATIENCE_S: Final = 180.0
"""Without a definite answer for this long something is broken for good."""
PAUSES_S: Final = (0.05, 0.1, 0.3, 0.6, 1.0)


class NoAnswer(Exception):
    """The shop never gave a definite answer; the text says to what."""


@dataclass(slots=True)
class Person:
    """Somebody with an account. `unanswered`: carts sent with a try that was not answered; `door`: which
    address is tried next."""

    email: str
    password: str = field(repr=False)
    token: str = field(default="", repr=False)
    user_id: int = 0
    unanswered: list[Any] = field(default_factory=list)
    door: int = 0


class Counter:
    """One HTTP session to all api processes."""

    def __init__(self, urls: list[str], notes: Notes) -> None:
        self.tries = 0
        self.failures = 0
        self._urls = urls
        self._notes = notes
        self._anybody = Person("", "")
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=0, keepalive_timeout=4),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_S),
            cookie_jar=aiohttp.DummyCookieJar(),
        )

    async def close(self) -> None:
        await self._http.close()

    async def sign_up(self, person: Person) -> None:
        """A lost answer to the first try makes the second one "taken", which is as good. Raises NoAnswer."""
        body = {"email": person.email, "password": person.password, "nickname": "Chaos"}
        answer, _ = await self.ask(ApiCall("POST", "/v1/users", encode(body)))
        assert answer.status in {201, 409}, answer
        await self.sign_in(person)

    async def sign_in(self, person: Person) -> None:
        body = {"email": person.email, "password": person.password}
        answer, _ = await self.ask(ApiCall("POST", "/v1/sessions", encode(body)))
        assert answer.status == 201, answer
        told = msgspec.json.decode(answer.body)
        person.token, person.user_id = told["access_token"], told["user"]["user_id"]

    async def ask(self, call: ApiCall, person: Person | None = None, prefer: str = "") -> tuple[Answer, int]:
        """The first definite answer, and how many tries before it were not answered. Raises NoAnswer."""
        ends_at = asyncio.get_running_loop().time() + PATIENCE_S
        for unanswered in count():
            answer = await self._try(call, person, prefer)
            if isinstance(answer, Answer) and answer.status == 401 and person is not None:
                await self.sign_in(person)
            elif isinstance(answer, Answer) and answer.status not in TRY_AGAIN and answer.status != 500:
                return answer, unanswered
            self.failures += 1
            if isinstance(answer, Answer) and answer.status == 500:
                self._notes.complain(f"{call.method} {call.path} was answered 500: {answer.body[:300]!r}")
            if asyncio.get_running_loop().time() > ends_at:
                break
            await asyncio.sleep(PAUSES_S[min(unanswered, len(PAUSES_S) - 1)])
        raise NoAnswer(
            f"{call.method} {call.path} had no definite answer within {PATIENCE_S:.0f} s: {answer}"
        )

    async def _try(self, call: ApiCall, person: Person | None, prefer: str) -> Answer | Exception:
        self.tries += 1
        who = person or self._anybody
        url = self._urls[who.door % len(self._urls)]
        headers = headers_of(call, who.token)
        if prefer:
            headers["Prefer"] = prefer
        try:
            async with self._http.request(
                call.method, url + call.path, data=call.body, headers=headers
            ) as response:
                body = await response.read()
                return answer_of(response.status, body, response.headers, seconds=0.0)
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            who.door += 1
            return error
