"""A token is good for what it says, in its environment, until it expires; anything else is refused."""

import json
import string
from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any

import pyseto
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyseto import Key

from adapters import paseto_tokens
from adapters.paseto_key import SigningKey, generate
from adapters.paseto_tokens import ACCESS_TTL_S, AUDIENCE, ISSUER, TokenRefused, Tokens
from domain.user import Role

NOW = datetime(2026, 11, 23, 14, 3, tzinfo=UTC)
ALPHABET = string.ascii_uppercase + string.ascii_lowercase + string.digits + "-_"


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
    return signed_text(key, json.dumps(payload), footer)


def signed_text(key: SigningKey, text: str, footer: bytes | None = None) -> str:
    footer = json.dumps({"kid": key.key_id}).encode() if footer is None else footer
    return pyseto.encode(key.key, text.encode(), footer=footer, implicit_assertion=b"test").decode()


THE_KEY = generate()
THE_TOKENS = Tokens(THE_KEY, environment="test", clock=lambda: NOW)
TOKEN = mint(THE_TOKENS)
FOOTERS = st.recursive(
    st.one_of(st.none(), st.integers(), st.text(max_size=20)),
    lambda inner: st.dictionaries(st.sampled_from(["kid", "k", "wpk"]), inner, max_size=3),
).map(lambda value: json.dumps(value).encode())


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
    assert refusal(elsewhere, signed(key)) == "signature is wrong"


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


def test_a_token_seen_before_is_not_checked_again(tokens: Tokens, monkeypatch: pytest.MonkeyPatch) -> None:
    token = mint(tokens)
    claims = tokens.verify(token)
    monkeypatch.setattr(pyseto, "decode", lambda *_, **__: pytest.fail("checked again"))
    assert tokens.verify(token) is claims


@pytest.mark.parametrize(
    "sub", [str(2**63), str(2**70), "-1", "7 ", " 7", "07", "+7", "7.0", "\u0667", "7\n"]
)
def test_what_is_no_user_id_is_refused(tokens: Tokens, key: SigningKey, sub: str) -> None:
    assert refusal(tokens, signed(key, changes={"sub": sub})) == "sub, role, sid or jti is malformed"


def test_the_largest_user_id_is_one(tokens: Tokens, key: SigningKey) -> None:
    assert tokens.verify(signed(key, changes={"sub": str(2**63 - 1)})).user_id == 2**63 - 1


@pytest.mark.parametrize("twice", ['"role":2', '"role":3', '"sub":"7"', '"exp":"2026-11-23T14:04:00Z"'])
def test_a_claim_that_stands_there_twice_is_refused(tokens: Tokens, key: SigningKey, twice: str) -> None:
    claims = pyseto.decode(key.public, signed(key), implicit_assertion=b"test").payload
    assert isinstance(claims, bytes)
    text = claims.decode().removesuffix("}") + "," + twice + "}"
    assert refusal(tokens, signed_text(key, text)) == "a claim stands there twice"


def test_a_footer_that_names_two_keys_is_refused(tokens: Tokens, key: SigningKey) -> None:
    footer = f'{{"kid":"another","kid":"{key.key_id}"}}'.encode()
    assert refusal(tokens, signed(key, footer=footer)) == "a claim stands there twice"


@pytest.mark.parametrize(
    "text",
    ["", "[]", "{}", "null", '"x"', "[" * 900, "NaN", "\x00", '{"sub":"\\ud800"}', "{'sub':7}"],
)
def test_a_payload_that_is_no_claims_is_refused(tokens: Tokens, key: SigningKey, text: str) -> None:
    assert refusal(tokens, signed_text(key, text))


@pytest.mark.parametrize(
    "at", ["0001-01-01T00:00:00+23:59", "9999-12-31T23:59:59-23:59", "2026-02-30T00:00:00Z"]
)
@pytest.mark.parametrize("claim", ["iat", "nbf", "exp"])
def test_times_at_the_edges_of_time_are_refused_or_do_no_harm(
    tokens: Tokens, key: SigningKey, claim: str, at: str
) -> None:
    token = signed(key, changes={claim: at})
    if (claim, at[:4]) == ("nbf", "0001"):
        assert tokens.verify(token).user_id == 7
    else:
        assert refusal(tokens, token)


def test_the_bits_that_mean_nothing_must_be_zero(tokens: Tokens) -> None:
    """Otherwise one signature would make several tokens."""
    for _ in range(20):
        *head, body, footer = mint(tokens).split(".")
        for other in (*twins(body), *twins(footer)):
            parts = [body, footer]
            parts[0 if other[:20] == body[:20] else 1] = other
            assert refusal(tokens, ".".join([*head, *parts])) == "not base64url"


def twins(text: str) -> list[str]:
    """Other spellings of the same bytes, which a lenient decoder takes."""
    spare = {0: 0, 2: 4, 3: 2}[len(text) % 4]
    last = ALPHABET.index(text[-1])
    return [text[:-1] + ALPHABET[last + n] for n in range(1, 2**spare)]


@settings(max_examples=300, deadline=None)
@given(data=st.data())
def test_no_bit_of_a_token_can_be_changed(data: st.DataObject) -> None:
    token = bytearray(TOKEN.encode())
    for place in data.draw(st.sets(st.integers(0, len(token) * 8 - 1), min_size=1, max_size=4)):
        token[place // 8] ^= 1 << place % 8
    assert refusal(THE_TOKENS, token.decode("latin-1"))


@settings(max_examples=300, deadline=None)
@given(footer=st.one_of(st.binary(max_size=180), st.text(max_size=60).map(str.encode), FOOTERS))
def test_no_footer_does_harm(footer: bytes) -> None:
    assert refusal(THE_TOKENS, signed(THE_KEY, footer=footer))


@settings(max_examples=300, deadline=None)
@given(
    text=st.one_of(st.text(max_size=1100), st.from_regex(r"v4\.public\.[A-Za-z0-9_-]*(\.[A-Za-z0-9_=-]*)?"))
)
def test_no_text_does_harm(text: str) -> None:
    assert refusal(THE_TOKENS, text)
