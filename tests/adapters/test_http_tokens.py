"""Forged tokens over HTTP: 401, and one line in the log that says why and holds nothing of the token."""

import asyncio
import json
import secrets
from collections.abc import AsyncIterator, Callable
from datetime import timedelta
from typing import Any

import pyseto
import pytest
import pytest_asyncio
from pyseto import Key

from adapters.paseto_key import SigningKey, generate
from adapters.paseto_tokens import AUDIENCE, ISSUER
from adapters.token_ring import EVER, OVERLAP, KeyRing
from domain.user import Role
from tests.adapters.http_client import Answered, Client, open_client

pytestmark = pytest.mark.asyncio(loop_scope="module")

PATH = "/v1/users/me"


NO_TOKEN = "not a v4.public token with a footer"
MALFORMED = "claims are missing or malformed"
WRONG_CLAIM = "sub, role, sid or jti is malformed"
TOO_LONG_LIVED = "good for longer than any token of ours"
ANOTHER_ORIGIN = "from another issuer or for another audience"
SIGNATURE = "signature is wrong"
UNKNOWN_KEY = "made with an unknown key"
TWICE = "a claim stands there twice"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client() -> AsyncIterator[Client]:
    """Its first user is the one in whose name the forgeries are made."""
    async with open_client() as client:
        await client.user(Role.STAFF)
        yield client


def forged(
    client: Client,
    *,
    key: SigningKey | None = None,
    footer: bytes | None = None,
    assertion: bytes = b"test",
    more: str = "",
    **changes: Any,
) -> str:
    """As the shop would make it for the first user, but for what is said; None leaves a claim out.

    User and session are real ones: otherwise everything would be refused because of them.
    """
    now = client.shop.now()
    claims: dict[str, Any] = {
        "sub": "1",
        "role": 2,
        "sid": "s1",
        "iat": now.isoformat(),
        "nbf": now.isoformat(),
        "exp": (now + timedelta(seconds=900)).isoformat(),
        "jti": secrets.token_urlsafe(16),
        "iss": ISSUER,
        "aud": AUDIENCE,
        **changes,
    }
    payload = json.dumps({name: value for name, value in claims.items() if value is not None})
    payload = payload.removesuffix("}") + more + "}"
    own = client.shop.signing_key
    signing = (key or own).key
    footer = named(own) if footer is None else footer
    return pyseto.encode(signing, payload.encode(), footer=footer, implicit_assertion=assertion).decode()


def named(key: SigningKey) -> bytes:
    return json.dumps({"kid": key.key_id}).encode()


def later(client: Client, seconds: float) -> str:
    return (client.shop.now() + timedelta(seconds=seconds)).isoformat()


def sealed(version: int) -> str:
    """A local token: encrypted, and made with nobody's key."""
    key = Key.new(version=version, purpose="local", key=b"k" * 32)
    return pyseto.encode(key, b'{"sub": "1"}', footer=b'{"kid": "x"}').decode()


def sealed_under_our_name(client: Client) -> str:
    """A reader that lets the token choose how it is read would be led astray."""
    local = Key.new(version=4, purpose="local", key=b"k" * 32)
    token = pyseto.encode(local, b'{"sub": "1"}' * 10, footer=named(client.shop.signing_key)).decode()
    return token.replace(".local.", ".public.", 1)


def flipped(token: str, place: int) -> str:
    other = "A" if token[place] != "A" else "B"
    return token[:place] + other + token[place + 1 :]


def foreign_key(client: Client) -> str:
    """Whoever made it says so, and signs well."""
    key = generate()
    return forged(client, key=key, footer=named(key))


def two_keys_named(client: Client) -> bytes:
    return b'{"kid": "x", ' + named(client.shop.signing_key)[1:]


FORGERIES: dict[str, tuple[str, Callable[[Client], str]]] = {
    "malformed": (NO_TOKEN, lambda _: "v4.public.nonsense"),
    "not a token at all": (NO_TOKEN, lambda _: "hunter2-hunter2"),
    "empty": (NO_TOKEN, lambda _: ""),
    "2 kB": ("too long", lambda c: forged(c, jti="j" * 2_000)),
    "20 kB": ("too long", lambda _: "v4.public." + "A" * 20_000 + ".AAAA"),
    "a local token": (NO_TOKEN, lambda _: sealed(4)),
    "a local token of version 3": (NO_TOKEN, lambda _: sealed(3)),
    "renamed to version 1": (NO_TOKEN, lambda c: forged(c).replace("v4.", "v1.", 1)),
    "renamed to version 2": (NO_TOKEN, lambda c: forged(c).replace("v4.", "v2.", 1)),
    "renamed to version 3": (NO_TOKEN, lambda c: forged(c).replace("v4.", "v3.", 1)),
    "renamed to a version to come": (NO_TOKEN, lambda c: forged(c).replace("v4.", "v5.", 1)),
    "the other purpose": (NO_TOKEN, lambda c: forged(c).replace(".public.", ".local.", 1)),
    "a local token renamed": (SIGNATURE, sealed_under_our_name),
    "expired": ("expired", lambda c: forged(c, iat=later(c, -900), nbf=later(c, -900), exp=later(c, -1))),
    "made in the future": ("not good yet", lambda c: forged(c, iat=later(c, 60))),
    "not good yet": ("not good yet", lambda c: forged(c, nbf=later(c, 60))),
    "without an end": (MALFORMED, lambda c: forged(c, exp=None)),
    "good for a day": (TOO_LONG_LIVED, lambda c: forged(c, exp=later(c, 86_400))),
    "good for a day, since yesterday": (
        TOO_LONG_LIVED,
        lambda c: forged(c, iat=later(c, -86_000), nbf=later(c, -86_000), exp=later(c, 400)),
    ),
    "without a time zone": ("a time has no zone", lambda c: forged(c, exp="2099-01-01T00:00:00")),
    "foreign key": (SIGNATURE, lambda c: forged(c, key=generate())),
    "foreign key that says whose it is": (UNKNOWN_KEY, foreign_key),
    "another environment": (SIGNATURE, lambda c: forged(c, assertion=b"production")),
    "no environment": (SIGNATURE, lambda c: forged(c, assertion=b"")),
    "another issuer": (ANOTHER_ORIGIN, lambda c: forged(c, iss="elsewhere")),
    "another audience": (ANOTHER_ORIGIN, lambda c: forged(c, aud="elsewhere")),
    "no footer": (NO_TOKEN, lambda c: forged(c, footer=b"")),
    "huge footer": ("footer too long", lambda c: forged(c, footer=b'{"kid": "' + b"k" * 250 + b'"}')),
    "unknown key id": (UNKNOWN_KEY, lambda c: forged(c, footer=b'{"kid": "k4.pid.unknown"}')),
    "footer with more": ("footer is wrong", lambda c: forged(c, footer=b'{"kid": "x", "jwk": {}}')),
    "footer that is no JSON": ("footer is wrong", lambda c: forged(c, footer=b"kid")),
    "footer that names two keys": (TWICE, lambda c: forged(c, footer=two_keys_named(c))),
    "two roles": (TWICE, lambda c: forged(c, more=', "role": 3')),
    "two users": (TWICE, lambda c: forged(c, more=', "sub": "2"')),
    "role 9": (WRONG_CLAIM, lambda c: forged(c, role=9)),
    "role as a text": (MALFORMED, lambda c: forged(c, role="2")),
    "a role that the user has not": (
        "logged out everywhere, erased, or the role was changed",
        lambda c: forged(c, role=3),
    ),
    "user 0": (WRONG_CLAIM, lambda c: forged(c, sub="0")),
    "user -1": (WRONG_CLAIM, lambda c: forged(c, sub="-1")),
    "user with a space": (WRONG_CLAIM, lambda c: forged(c, sub="1 ")),
    "user 2^63": (WRONG_CLAIM, lambda c: forged(c, sub=str(2**63))),
    "user 2^70": (WRONG_CLAIM, lambda c: forged(c, sub=str(2**70))),
    "user as a number": (MALFORMED, lambda c: forged(c, sub=1)),
    "one claim more": (MALFORMED, lambda c: forged(c, admin=True)),
    "no session": (WRONG_CLAIM, lambda c: forged(c, sid="")),
    "a session that never was": ("its session has ended", lambda c: forged(c, sid="s999999")),
    "a session of somebody else": ("its session has ended", lambda c: forged(c, sub="999999")),
    "first letter of the payload": (SIGNATURE, lambda c: flipped(forged(c), len("v4.public."))),
    "end of the signature": (SIGNATURE, lambda c: flipped(forged(c), forged(c).rindex(".") - 2)),
    "padding": (NO_TOKEN, lambda c: forged(c) + "="),
    "a letter of another script": (NO_TOKEN, lambda c: forged(c).replace("A", "\u0410")),
    "a letter with an accent": (NO_TOKEN, lambda c: forged(c) + "\u00e9"),
    "a space inside": (NO_TOKEN, lambda c: forged(c).replace(".", " .", 1)),
    "twice": (NO_TOKEN, lambda c: f"{forged(c)} {forged(c)}"),
}


def refused_lines(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.name == "adapters.http_errors"]


def must_be_refused(answered: Answered, caplog: pytest.LogCaptureFixture, secret: str, reason: str) -> None:
    assert (answered.status, answered.name) == (401, "unauthorized")
    assert answered.headers["Content-Type"] == "application/problem+json"
    assert answered.headers["WWW-Authenticate"].startswith("Bearer")
    assert refused_lines(caplog) == [f"token refused: {reason}, GET {PATH}"]
    must_say_nothing_of(secret, caplog.text + answered.raw.decode())


def must_say_nothing_of(secret: str, said: str) -> None:
    """`said`: whatever was logged by whomever meanwhile, and the answer."""
    parts = [part for part in secret.replace(" ", ".").split(".") if len(part) > 8]
    pieces = [part[n : n + 12] for part in parts for n in range(0, max(1, len(part) - 11))]
    assert not [piece for piece in pieces if piece in said]


@pytest.mark.parametrize("kind", FORGERIES)
async def test_a_forged_token_is_refused_with_one_line(
    client: Client, kind: str, caplog: pytest.LogCaptureFixture
) -> None:
    reason, forge = FORGERIES[kind]
    token = forge(client)
    must_be_refused(await client.call("GET", PATH, token=token), caplog, token, reason)


async def test_the_token_that_forgeries_are_made_from_is_good(client: Client) -> None:
    """Or all of them would be refused for another reason than the one they are here for."""
    answered = await client.call("GET", PATH, token=forged(client))
    assert (answered.status, answered.json["user_id"]) == (200, 1)


async def test_a_token_changed_anywhere_is_refused(client: Client, caplog: pytest.LogCaptureFixture) -> None:
    """Every fifth character over HTTP; tests.adapters.test_paseto_tokens flips each bit."""
    token = forged(client)
    places = range(0, len(token), 5)
    for place in places:
        assert (await client.call("GET", PATH, token=flipped(token, place))).status == 401, place
    assert len(refused_lines(caplog)) == len(places)
    must_say_nothing_of(token, caplog.text)


async def test_a_key_is_believed_until_it_is_retired_and_not_once_it_is_gone(
    client: Client, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    old, new, now = client.shop.signing_key, generate(), client.shop.now()
    rings = {
        "accepted": [(EVER, old), (now - OVERLAP / 2, new)],
        "retired": [(EVER, old), (now - OVERLAP, new)],
        "gone": [(EVER, new)],
    }
    token = forged(client)
    said: dict[str, int] = {}
    for name, keys in rings.items():
        monkeypatch.setattr(client.shop.tokens, "_rings", Ringed(KeyRing(keys)))
        said[name] = (await client.call("GET", PATH, token=token)).status
    assert said == {"accepted": 200, "retired": 401, "gone": 401}
    assert refused_lines(caplog) == [
        f"token refused: made with a key that is retired, GET {PATH}",
        f"token refused: {UNKNOWN_KEY}, GET {PATH}",
    ]
    must_say_nothing_of(token, caplog.text)


class Ringed:
    """Keys as a file would have them at this moment."""

    def __init__(self, ring: KeyRing) -> None:
        self._ring = ring

    def current(self) -> KeyRing:
        return self._ring

    again = current


async def test_a_token_that_was_good_is_refused_once_its_time_is_over(
    client: Client, caplog: pytest.LogCaptureFixture
) -> None:
    good = await client.user()
    assert (await client.call("GET", PATH, token=good)).status == 200
    client.shop.ahead += timedelta(seconds=901)
    must_be_refused(await client.call("GET", PATH, token=good), caplog, good, "expired")


@pytest.mark.parametrize("scheme", ["Basic", "Token", "PASETO", "Bearer\t"])
async def test_another_scheme_is_refused(
    client: Client, scheme: str, caplog: pytest.LogCaptureFixture
) -> None:
    good = await client.user()
    answered = await client.call("GET", PATH, Authorization=f"{scheme} {good}")
    must_be_refused(answered, caplog, good, "no bearer token")


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
    assert refused_lines(caplog) == [f"token refused: more than one Authorization header, GET {PATH}"] * 3
    must_say_nothing_of(good.decode(), caplog.text)


@pytest.mark.parametrize("end", [b"\xa0", b"\x85", b"\x0b", b"\xff", b"\xc3\xa9"])
async def test_bytes_that_look_like_nothing_are_not_cut_off(client: Client, end: bytes) -> None:
    good = (await client.user()).encode()
    head = b"Authorization: Bearer " + good + end + b"\r\n\r\n"
    answered = await raw(client, b"GET /v1/users/me HTTP/1.1\r\nHost: x\r\nConnection: close\r\n" + head)
    assert answered.split(b" ")[1] in (b"400", b"401")


@pytest.mark.parametrize("within", [b"\r\n ", b"\r\n", b"\n", b"\r", b"\x00", b"\t"])
async def test_a_token_in_two_pieces_is_not_put_together(client: Client, within: bytes) -> None:
    good = (await client.user()).encode()
    head = b"Authorization: Bearer " + good[:40] + within + good[40:] + b"\r\n\r\n"
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
        _, forge = FORGERIES[kind]
        token = forge(client)
        assert (await client.call("GET", "/v1/goods", token=token)).status == 200
        unknown = {"email": "nobody@example.com", "password": "x"}
        assert (await client.call("POST", "/v1/sessions", unknown, token=token)).status == 401
