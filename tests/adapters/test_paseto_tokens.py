"""A token is good for what it says, in its environment, until it expires; anything else is refused."""

import json
import time
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pyseto
import pytest
from pyseto import Key

from adapters import paseto_tokens
from adapters.paseto_key import KeyFileError, SigningKey, generate, load_key
from adapters.paseto_tokens import ACCESS_TTL_S, AUDIENCE, ISSUER, TokenRefused, Tokens
from domain.user import Role

NOW = datetime(2026, 11, 23, 14, 3, tzinfo=UTC)


class Clock:
    def __init__(self) -> None:
        self.now = NOW

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key() -> SigningKey:
    return generate()


@pytest.fixture
def tokens(key: SigningKey, clock: Clock) -> Tokens:
    return Tokens(key, environment="test", clock=clock)


def mint(tokens: Tokens) -> str:
    return tokens.mint(user_id=7, role=Role.STAFF, session_id="s1").token


def signed(key: SigningKey, *, footer: bytes | None = None, changes: Mapping[str, Any] | None = None) -> str:
    """A token with a good signature over claims of one's choice; None leaves a claim out."""
    claims: dict[str, Any] = {
        "sub": "7",
        "role": 2,
        "sid": "s1",
        "iat": NOW.isoformat(),
        "nbf": NOW.isoformat(),
        "exp": (NOW + timedelta(seconds=ACCESS_TTL_S)).isoformat(),
        "jti": "j",
        "iss": ISSUER,
        "aud": AUDIENCE,
    }
    payload = {name: value for name, value in {**claims, **(changes or {})}.items() if value is not None}
    footer = json.dumps({"kid": key.key_id}).encode() if footer is None else footer
    token = pyseto.encode(key.key, json.dumps(payload).encode(), footer=footer, implicit_assertion=b"test")
    return token.decode()


def refusal(tokens: Tokens, token: str) -> str:
    with pytest.raises(TokenRefused) as refused:
        tokens.verify(token)
    return refused.value.reason


def test_a_token_says_who_it_was_made_for(tokens: Tokens) -> None:
    claims = tokens.verify(mint(tokens))
    assert (claims.user_id, claims.role, claims.session_id) == (7, Role.STAFF, "s1")
    assert claims.issued_at == NOW
    assert claims.expires_at == NOW + timedelta(seconds=900)


def test_two_tokens_are_never_the_same(tokens: Tokens) -> None:
    assert mint(tokens) != mint(tokens)


def test_claims_made_by_hand_are_accepted_as_they_should_be(tokens: Tokens, key: SigningKey) -> None:
    assert tokens.verify(signed(key)).user_id == 7


@pytest.mark.parametrize("claim", ["sub", "role", "sid", "iat", "nbf", "exp", "jti", "iss", "aud"])
def test_a_claim_left_out_is_refused(tokens: Tokens, key: SigningKey, claim: str) -> None:
    assert refusal(tokens, signed(key, changes={claim: None})) == "claims are missing or malformed"


LATER = (NOW + timedelta(seconds=60)).isoformat()


@pytest.mark.parametrize(
    "change",
    [
        {"sub": "x"},
        {"sub": "0"},
        {"sub": ""},
        {"sub": 7},
        {"role": 0},
        {"role": 4},
        {"role": "2"},
        {"role": True},
        {"sid": ""},
        {"jti": ""},
        {"iss": "another"},
        {"aud": "another"},
        {"nbf": LATER},
        {"iat": LATER},
        {"exp": NOW.isoformat()},
        {"exp": (NOW + timedelta(seconds=ACCESS_TTL_S + 1)).isoformat()},
        {"exp": "never"},
        {"exp": NOW.replace(tzinfo=None).isoformat()},
        {"admin": True},
    ],
    ids=str,
)
def test_a_claim_that_is_wrong_is_refused(tokens: Tokens, key: SigningKey, change: dict[str, Any]) -> None:
    assert refusal(tokens, signed(key, changes=change))


def test_another_environment_refuses_it(key: SigningKey, clock: Clock) -> None:
    elsewhere = Tokens(key, environment="production", clock=clock)
    assert refusal(elsewhere, signed(key)) == "signature or footer is wrong"


def test_another_key_refuses_it(clock: Clock) -> None:
    assert refusal(Tokens(generate(), environment="test", clock=clock), signed(generate()))


@pytest.mark.parametrize("footer", [b"", b"{}", b'{"kid":"other"}', b"nonsense", b'{"kid":"x","more":1}'])
def test_a_footer_that_does_not_name_our_key_is_refused(
    tokens: Tokens, key: SigningKey, footer: bytes
) -> None:
    assert refusal(tokens, signed(key, footer=footer))


def test_a_footer_is_measured_before_it_is_read(
    tokens: Tokens, key: SigningKey, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pyseto, "decode", lambda *_, **__: pytest.fail("looked inside"))
    assert refusal(tokens, signed(key, footer=b"x" * 250)) == "footer too long"
    assert refusal(tokens, "v4.public." + "A" * 2000 + ".AA") == "too long"


@pytest.mark.parametrize(
    "token",
    ["", "x", "v4.public.", "v4.public.AA.AA", "v2.public.AA.AA", "v4.local.AA.AA", "v4.public.AA", "\u00e9"],
)
def test_what_is_no_token_is_refused(tokens: Tokens, token: str) -> None:
    assert refusal(tokens, token)


def test_a_changed_token_is_refused(tokens: Tokens) -> None:
    token = mint(tokens)
    body = token.split(".")[2]
    swapped = body[:20] + ("A" if body[20] != "A" else "B") + body[21:]
    assert refusal(tokens, token.replace(body, swapped))
    assert refusal(tokens, token.replace(".public.", ".public.!"))
    assert refusal(tokens, token + "\n")


def test_an_unsigned_v4_local_token_is_refused(tokens: Tokens) -> None:
    local = Key.new(version=4, purpose="local", key=b"k" * 32)
    assert refusal(tokens, pyseto.encode(local, b"{}", footer=b"{}", implicit_assertion=b"test").decode())


def test_a_token_seen_before_still_expires(tokens: Tokens, clock: Clock) -> None:
    token = mint(tokens)
    tokens.verify(token)
    clock.now += timedelta(seconds=ACCESS_TTL_S - 1)
    tokens.verify(token)
    clock.now += timedelta(seconds=1)
    assert refusal(tokens, token) == "expired"
    assert refusal(tokens, token) == "expired"


def test_remembered_tokens_are_bounded(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(paseto_tokens, "MAX_CACHED", 3)
    for _ in range(10):
        tokens.verify(mint(tokens))
    assert len(tokens._seen) == 3


def test_a_token_seen_before_costs_little(tokens: Tokens) -> None:
    token = mint(tokens)
    tokens.verify(token)
    best = min(_seconds_for(tokens, token, 2000) for _ in range(5))
    assert best / 2000 < 10e-6


def _seconds_for(tokens: Tokens, token: str, times: int) -> float:
    began = time.perf_counter()
    for _ in range(times):
        tokens.verify(token)
    return time.perf_counter() - began


# key files


def test_a_key_file_is_made_once_for_its_owner_only(tmp_path: Path) -> None:
    path = tmp_path / "keys" / "token.pem"
    made = load_key(path, create=True)
    assert path.stat().st_mode & 0o777 == 0o600
    assert load_key(path, create=True).key_id == made.key_id
    assert list(path.parent.iterdir()) == [path]


def test_a_paserk_file_is_read_too(tmp_path: Path) -> None:
    made = generate()
    path = tmp_path / "token.paserk"
    path.touch(0o600)
    path.write_text(made.key.to_paserk() + "\n")
    assert load_key(path).key_id == made.key_id


def test_a_missing_key_is_not_made_unasked(tmp_path: Path) -> None:
    with pytest.raises(KeyFileError, match="No such file"):
        load_key(tmp_path / "none.pem")


@pytest.mark.parametrize("text", ["", "nonsense", "k4.public.AAAA", "k4.secret.AAAA", "k4", "k2.secret.AAAA"])
def test_what_is_no_private_key_is_refused_unquoted(tmp_path: Path, text: str) -> None:
    path = tmp_path / "token.pem"
    path.touch(0o600)
    path.write_text(text)
    with pytest.raises(KeyFileError) as refused:
        load_key(path)
    assert str(path) in str(refused.value)
    assert text == "" or text not in str(refused.value)


def test_a_key_that_others_can_read_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "token.pem"
    load_key(path, create=True)
    path.chmod(0o644)
    with pytest.raises(KeyFileError, match="chmod 600"):
        load_key(path)
