"""Forged tokens over HTTP: 401, and one line in the log that says why and holds nothing of the token."""

import asyncio
import json
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pyseto
import pytest
import pytest_asyncio
from pyseto import Key

from adapters.paseto_key import SigningKey, generate
from adapters.paseto_tokens import AUDIENCE, ISSUER
from domain.user import Role
from tests.adapters.http_client import Answered, Client, open_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/users/me"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[Client]:
    async with open_client() as client:
        yield client


def forged(
    client: Client,
    *,
    key: SigningKey | None = None,
    footer: bytes | None = None,
    assertion: bytes = b"test",
    **changes: Any,
) -> str:
    """Signed with the shop's own key unless said otherwise; None leaves a claim out."""
    now = client.shop.now()
    claims: dict[str, Any] = {
        "sub": "7",
        "role": 2,
        "sid": "s7",
        "iat": now.isoformat(),
        "nbf": now.isoformat(),
        "exp": (now + timedelta(seconds=900)).isoformat(),
        "jti": "j",
        "iss": ISSUER,
        "aud": AUDIENCE,
        **changes,
    }
    payload = json.dumps({name: value for name, value in claims.items() if value is not None}).encode()
    own = client.shop.signing_key
    known = json.dumps({"kid": own.key_id}).encode()
    signing = (key or own).key
    footer = known if footer is None else footer
    return pyseto.encode(signing, payload, footer=footer, implicit_assertion=assertion).decode()


def later(client: Client, seconds: float) -> str:
    return (client.shop.now() + timedelta(seconds=seconds)).isoformat()


def sealed(version: int) -> str:
    """A local token: encrypted, and made with nobody's key."""
    key = Key.new(version=version, purpose="local", key=b"k" * 32)
    return pyseto.encode(key, b'{"sub": "7"}').decode()


def flipped(token: str, place: int) -> str:
    other = "A" if token[place] != "A" else "B"
    return token[:place] + other + token[place + 1 :]


def foreign_key(client: Client) -> str:
    """Whoever made it says so, and signs well."""
    key = generate()
    return forged(client, key=key, footer=json.dumps({"kid": key.key_id}).encode())


FORGERIES: dict[str, Callable[[Client], str]] = {
    "malformed": lambda _: "v4.public.nonsense",
    "not a token at all": lambda _: "hunter2-hunter2",
    "empty": lambda _: "",
    "2 kB": lambda c: forged(c, jti="j" * 2_000),
    "20 kB": lambda _: "v4.public." + "A" * 20_000 + ".AAAA",
    "a local token": lambda _: sealed(4),
    "version 3": lambda _: sealed(3),
    "version 4 renamed": lambda c: forged(c).replace("v4.", "v2.", 1),
    "the other purpose": lambda c: forged(c).replace(".public.", ".local.", 1),
    "expired": lambda c: forged(c, iat=later(c, -900), nbf=later(c, -900), exp=later(c, -1)),
    "made in the future": lambda c: forged(c, iat=later(c, 60)),
    "not good yet": lambda c: forged(c, nbf=later(c, 60)),
    "without an end": lambda c: forged(c, exp=None),
    "good for a day": lambda c: forged(c, exp=later(c, 86_400)),
    "without a time zone": lambda c: forged(c, exp="2099-01-01T00:00:00"),
    "foreign key": lambda c: forged(c, key=generate()),
    "foreign key that says whose it is": foreign_key,
    "another environment": lambda c: forged(c, assertion=b"production"),
    "another issuer": lambda c: forged(c, iss="elsewhere"),
    "another audience": lambda c: forged(c, aud="elsewhere"),
    "no footer": lambda c: forged(c, footer=b""),
    "huge footer": lambda c: forged(c, footer=json.dumps({"kid": "k" * 400}).encode()),
    "unknown key id": lambda c: forged(c, footer=b'{"kid": "k4.pid.unknown"}'),
    "footer with more": lambda c: forged(c, footer=b'{"kid": "x", "jwk": {}}'),
    "footer that is no JSON": lambda c: forged(c, footer=b"kid"),
    "role 9": lambda c: forged(c, role=9),
    "role as a text": lambda c: forged(c, role="2"),
    "user 0": lambda c: forged(c, sub="0"),
    "user -1": lambda c: forged(c, sub="-1"),
    "user with a space": lambda c: forged(c, sub="7 "),
    "user 2^70": lambda c: forged(c, sub=str(2**70)),
    "user as a number": lambda c: forged(c, sub=7),
    "one claim more": lambda c: forged(c, admin=True),
    "no session": lambda c: forged(c, sid=""),
    "a session that never was": forged,
    "first letter of the payload": lambda c: flipped(forged(c), 10),
    "last letter of the signature": lambda c: flipped(forged(c), forged(c).rindex(".") - 1),
    "padding": lambda c: forged(c) + "=",
    "a space inside": lambda c: forged(c).replace(".", " .", 1),
    "twice": lambda c: f"{forged(c)} {forged(c)}",
}


def refused_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "adapters.http_errors"]


def must_be_refused(answered: Answered, caplog: pytest.LogCaptureFixture, secret: str) -> None:
    assert (answered.status, answered.name) == (401, "unauthorized")
    assert answered.headers["WWW-Authenticate"].startswith("Bearer")
    (line,) = refused_lines(caplog)
    assert line.startswith("token refused: ")
    assert line.endswith(f"GET {PATH}")
    assert "\n" not in line
    parts = [part for part in secret.replace(" ", ".").split(".") if len(part) > 8]
    assert not [part for part in parts if part in line or part in answered.raw.decode()]


@pytest.mark.parametrize("kind", FORGERIES)
async def test_a_forged_token_is_refused_with_one_line(
    client: Client, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    token = FORGERIES[kind](client)
    must_be_refused(await client.call("GET", PATH, token=token), caplog, token)


async def test_the_token_that_forgeries_are_made_from_is_good(client: Client) -> None:
    """Or all of them would be refused for another reason than the one they are here for."""
    good = await client.user(Role.STAFF)
    user_id = client.shop.tokens.verify(good).user_id
    token = forged(client, sub=str(user_id), sid=f"s{user_id}")
    assert (await client.call("GET", PATH, token=token)).status == 200


async def test_a_token_that_was_good_is_refused_once_its_time_is_over(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    good = await client.user()
    assert (await client.call("GET", PATH, token=good)).status == 200
    client.shop.ahead += timedelta(seconds=901)
    must_be_refused(await client.call("GET", PATH, token=good), caplog, good)


@pytest.mark.parametrize("scheme", ["Basic", "Token", "PASETO", "Bearer\t"])
async def test_another_scheme_is_refused(
    client: Client, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = await client.user()
    must_be_refused(await client.call("GET", PATH, Authorization=f"{scheme} {good}"), caplog, good)


async def test_the_word_bearer_may_be_written_anyhow(client: Client) -> None:
    good = await client.user()
    for said in (f"bearer {good}", f"BEARER  {good}", f"Bearer {good} "):
        assert (await client.call("GET", PATH, Authorization=said)).status == 200


async def test_no_token_is_401_and_no_line(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    answered = await client.call("GET", PATH)
    assert (answered.status, answered.name) == (401, "unauthorized")
    assert answered.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused_lines(caplog) == []


async def test_a_token_in_the_address_counts_for_nothing(client: Client) -> None:
    good = await client.user()
    for name in ("access_token", "token", "authorization"):
        assert (await client.call("GET", f"{PATH}?{name}={good}")).status == 401


async def raw(client: Client, head: bytes) -> bytes:
    """What is answered to a request as it stands, which no client would send."""
    host, port = client.base.removeprefix("http://").split(":")
    reader, writer = await asyncio.open_connection(host, int(port))
    try:
        writer.write(head)
        return await asyncio.wait_for(reader.read(200), 5)
    finally:
        writer.close()


async def test_two_headers_are_refused_whichever_is_good(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    good = (await client.user()).encode()
    for first, second in ((good, b"x"), (b"x", good), (good, good)):
        head = b"Authorization: Bearer " + first + b"\r\nAuthorization: Bearer " + second + b"\r\n"
        request = b"GET /v1/users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head + b"\r\n"
        assert (await raw(client, request)).startswith(b"HTTP/1.1 401 ")
    assert {line.split(",")[0] for line in refused_lines(caplog)} == {
        "token refused: more than one Authorization header"
    }


@pytest.mark.parametrize("end", [b"\xa0", b"\x85", b"\x0b", b"\xff", b"\xc3\xa9"])
async def test_bytes_that_look_like_nothing_are_not_cut_off(client: Client, end: bytes) -> None:
    good = (await client.user()).encode()
    head = b"Authorization: Bearer " + good + end + b"\r\n\r\n"
    answered = await raw(client, b"GET /v1/users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head)
    assert answered.split(b" ")[1] in (b"400", b"401")


async def test_a_header_of_a_hundred_kilobytes_is_refused(client: Client) -> None:
    head = b"Authorization: Bearer " + b"v" * 100_000 + b"\r\n\r\n"
    answered = await raw(client, b"GET /v1/users/me HTTP/1.1\r\nHost: x\r\n" + head)
    # Which of the two depends on how much of it the server has read when it looks.
    assert answered.split(b" ")[1] in (b"400", b"401")


async def test_an_address_with_a_new_line_makes_one_line(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    """What a stranger writes into an address does not stand in the log as if we had written it."""
    path = "/v1/orders/7%0a2026-11-25%20WARNING%20all%20is%20well"
    assert (await client.call("GET", path, token="x")).status == 401
    (line,) = refused_lines(caplog)
    assert line.endswith("GET /v1/orders/{order_id}")


async def test_where_anybody_may_call_a_bad_token_counts_as_none(client: Client) -> None:
    """An old one must not stand in the way of logging in, and gives nothing that no token would not."""
    for kind in ("expired", "foreign key", "malformed"):
        token = FORGERIES[kind](client)
        assert (await client.call("GET", "/v1/goods", token=token)).status == 200
        unknown = {"email": "nobody@example.com", "password": "x"}
        assert (await client.call("POST", "/v1/sessions", unknown, token=token)).status == 401
