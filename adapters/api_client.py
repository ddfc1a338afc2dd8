"""A thin client of our own HTTP API: tokens kept fresh, lost answers asked for again, problems named.

Every request it repeats must be safe to repeat; the caller sees to that with idempotency keys.
"""

import asyncio
from contextlib import AbstractAsyncContextManager
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import count
from time import monotonic, perf_counter
from types import TracebackType
from typing import Annotated, Self

import aiohttp
import msgspec
from yarl import URL

from adapters.api_call import (
    TRY_AGAIN,
    Answer,
    ApiCall,
    ApiError,
    ApiUnreachable,
    answer_of,
    api_error,
    decode,
    encode,
    headers_of,
    pause_s,
)

PATIENCE_S = 120.0
"""How long one call is tried again: longer than a killed server takes to come back."""

FIRST_CONTACT_S = 10.0
"""How long the first contact is tried: a wrong address should be heard of soon."""

ATTEMPT_TIMEOUT_S = 30.0
RENEW_BEFORE_S = 60.0

# Below uvicorn's 5 s: the side that closes an idle connection should be the side that sends requests.
_KEEP_IDLE_S = 4.0
_SHORTEST_RENEWAL_S = 30.0


class BadApiAddress(ValueError):
    """The address of the server is not an http or https URL."""


class _Tokens(msgspec.Struct, frozen=True):
    access_token: str
    access_expires_at: Annotated[datetime, msgspec.Meta(tz=True)]
    refresh_token: str


@dataclass(frozen=True, slots=True)
class ApiSettings:
    """Where the server is and how patient to be with it."""

    base_url: str
    connections: int = 64
    patience_s: float = PATIENCE_S


@dataclass(slots=True)
class Login:
    """Someone's sign-in. Many calls may share one; it is renewed once for all of them."""

    email: str
    password: str = field(repr=False)
    access_token: str = field(default="", repr=False)
    refresh_token: str = field(default="", repr=False)
    renew_at: float = 0.0
    lock: asyncio.Lock = field(default_factory=asyncio.Lock, repr=False)


class ApiClient(AbstractAsyncContextManager["ApiClient"]):
    """One HTTP session to one server. Raises BadApiAddress when made with no http address."""

    def __init__(self, settings: ApiSettings) -> None:
        self._base = _address(settings.base_url)
        self._settings = settings
        self._patience_s = settings.patience_s

    async def __aenter__(self) -> Self:
        self._http = aiohttp.ClientSession(
            connector=aiohttp.TCPConnector(limit=self._settings.connections, keepalive_timeout=_KEEP_IDLE_S),
            cookie_jar=aiohttp.DummyCookieJar(),
            timeout=aiohttp.ClientTimeout(total=ATTEMPT_TIMEOUT_S),
            # Nothing to unpack and nothing to guess: each costs the load time it shares with the server.
            skip_auto_headers=("Accept", "Accept-Encoding", "User-Agent", "Content-Type"),
        )
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._http.close()

    async def reach(self) -> None:
        """Returns when the server answers. Raises ApiUnreachable within `FIRST_CONTACT_S`."""
        self._patience_s = min(FIRST_CONTACT_S, self._settings.patience_s)
        try:
            await self.send(ApiCall("GET", "/healthz"))
        finally:
            self._patience_s = self._settings.patience_s

    async def register(self, login: Login, nickname: str) -> bool:
        """Makes the user; False when the email is taken already. Raises ApiError, ApiUnreachable."""
        body = encode({"email": login.email, "password": login.password, "nickname": nickname})
        try:
            await self.send(ApiCall("POST", "/v1/users", body))
        except ApiError as error:
            if error.type == "urn:tillroll:email-taken":
                return False
            raise
        return True

    async def log_in(self, login: Login) -> None:
        """Fetches tokens for `login`, which later calls renew. Raises ApiError, ApiUnreachable."""
        body = encode({"email": login.email, "password": login.password})
        call = ApiCall("POST", "/v1/sessions", body)
        _keep(login, decode(call, await self.send(call), _Tokens))

    async def send(self, call: ApiCall, login: Login | None = None) -> Answer:
        """The 2xx answer to `call`, asked for again for `patience_s` while none comes.

        Raises ApiError for any other answer and ApiUnreachable when the time is up.
        """
        token = "" if login is None else await self._token(login)
        answer = await self._final(call, token)
        if answer.status == 401 and login is not None:
            _forget(login, token)
            answer = await self._final(call, await self._token(login))
        if answer.status >= 300:
            raise api_error(call, answer)
        return answer

    async def _final(self, call: ApiCall, token: str) -> Answer:
        """The first answer that is not "not now"."""
        give_up_at = monotonic() + self._patience_s
        for attempt in count():
            answer = await self._attempt(call, token)
            if isinstance(answer, Answer) and answer.status not in TRY_AGAIN:
                return answer
            pause = pause_s(attempt, answer.retry_after_s if isinstance(answer, Answer) else 0.0)
            if monotonic() + pause > give_up_at:
                raise self._gave_up(call, answer)
            await asyncio.sleep(pause)
        raise AssertionError("counting ended")

    async def _attempt(self, call: ApiCall, token: str) -> Answer | Exception:
        url = URL(f"{self._base}{call.path}", encoded=True)
        headers = headers_of(call, token)
        started = perf_counter()
        try:
            async with self._http.request(call.method, url, data=call.body, headers=headers) as response:
                body = await response.read()
        except (aiohttp.ClientSSLError, aiohttp.InvalidURL) as error:
            raise ApiUnreachable(f"{self._base}: {error}") from error
        except (aiohttp.ClientError, TimeoutError, OSError) as error:
            return error
        return answer_of(response.status, body, response.headers, seconds=perf_counter() - started)

    def _gave_up(self, call: ApiCall, last: Answer | Exception) -> Exception:
        if isinstance(last, Answer):
            return api_error(call, last)
        what = f"{call.method} {call.path} got no answer within {self._patience_s:.0f} s"
        return ApiUnreachable(f"{self._base}: {what}: {_reason(last)}")

    async def _token(self, login: Login) -> str:
        if monotonic() < login.renew_at:
            return login.access_token
        async with login.lock:
            if monotonic() >= login.renew_at:
                await self._renew(login)
        return login.access_token

    async def _renew(self, login: Login) -> None:
        """By the refresh token, which costs the server no password hash; by password when that is refused."""
        if not login.refresh_token:
            return await self.log_in(login)
        call = ApiCall("POST", "/v1/sessions/refresh", encode({"refresh_token": login.refresh_token}))
        login.refresh_token = ""
        try:
            return _keep(login, decode(call, await self.send(call), _Tokens))
        except ApiError:
            # Also after a lost answer: the repeat used a used token and its family was revoked.
            return await self.log_in(login)


def _address(base_url: str) -> str:
    try:
        url = URL(base_url)
    except ValueError:
        url = URL()
    if url.scheme not in ("http", "https") or not url.host:
        raise BadApiAddress(
            f"{base_url!r} is no address of a server, expected one like http://127.0.0.1:8000"
        )
    return base_url.rstrip("/")


def _reason(error: Exception) -> str:
    if isinstance(error, aiohttp.ClientConnectorError):
        return error.os_error.strerror or str(error.os_error)
    return str(error) or type(error).__name__


def _keep(login: Login, tokens: _Tokens) -> None:
    """Keeps the tokens. The time left is at least half a minute: the server's clock may be behind ours."""
    left_s = (tokens.access_expires_at - datetime.now(UTC)).total_seconds() - RENEW_BEFORE_S
    login.renew_at = monotonic() + max(_SHORTEST_RENEWAL_S, left_s)
    login.access_token, login.refresh_token = tokens.access_token, tokens.refresh_token


def _forget(login: Login, refused: str) -> None:
    """Marks the token for renewal, unless another call has renewed it since."""
    if login.access_token == refused:
        login.renew_at = 0.0
