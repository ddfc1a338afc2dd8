"""Access tokens: PASETO v4.public over pyseto, every claim checked here.

pyseto looks at exp, nbf and aud only when it is handed a deserializer, accepts a token without exp and
never looks at iss, iat and jti. So it is asked for the signature alone, and the claims are decoded and
checked in `_claims`. One version and one purpose; the footer names the key; the implicit assertion
binds a token to its environment, so a token of the test system is worth nothing in production.
"""

import json
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final, NamedTuple

import msgspec
import pyseto

from adapters.paseto_key import SigningKey
from adapters.token_ring import ACCESS_TTL_S, CLOCK_SKEW_S, FixedRing, KeyRing, RingKey, Rings
from domain.user import Role

__all__ = ["ACCESS_TTL_S", "CLOCK_SKEW_S", "Claims", "Minted", "TokenRefused", "Tokens"]

MAX_TOKEN_CHARS: Final = 1_024
MAX_FOOTER_CHARS: Final = 256
MAX_CACHED: Final = 50_000
"""Verified tokens that are remembered; those not seen for longest go first."""

MAX_USER_ID: Final = 2**63 - 1

ISSUER: Final = "tillroll"
AUDIENCE: Final = "tillroll-http"

# base64url as the standard says, no padding: pyseto's decoder would skip foreign characters in silence.
_SHAPE = re.compile(r"v4\.public\.([A-Za-z0-9_-]+)\.([A-Za-z0-9_-]+)")
_USER_ID = re.compile(r"[1-9][0-9]{0,18}")


class TokenRefused(Exception):
    """The token is not good. The reason is for the log; the caller is told no more than that."""

    def __init__(self, reason: str) -> None:
        super().__init__(reason)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Claims:
    """What a good token says."""

    user_id: int
    role: Role
    session_id: str
    token_id: str
    issued_at: datetime
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class Minted:
    token: str
    expires_at: datetime


class _Payload(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    sub: str
    role: int
    sid: str
    iat: datetime
    nbf: datetime
    exp: datetime
    jti: str
    iss: str
    aud: str


class _Footer(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    kid: str


_encode = msgspec.json.Encoder().encode
_payloads = msgspec.json.Decoder(_Payload)
_footers = msgspec.json.Decoder(_Footer)


class _Seen(NamedTuple):
    """A token that was good, and until when it need not be looked at again."""

    claims: Claims
    until: datetime


class Tokens:
    """Makes tokens and checks them, for one environment."""

    def __init__(self, keys: SigningKey | Rings, *, environment: str, clock: Callable[[], datetime]) -> None:
        """`keys`: one key, or keys that come and go. `clock`: UTC now.

        `environment`: such as `production`; a token is good in its own only.
        """
        self._rings = FixedRing(keys) if isinstance(keys, SigningKey) else keys
        self._ring = self._rings.current()
        self._assertion = environment.encode()
        self._clock = clock
        self._seen: OrderedDict[str, _Seen] = OrderedDict()

    def mint(self, *, user_id: int, role: Role, session_id: str) -> Minted:
        now = self._clock()
        expires_at = now + timedelta(seconds=ACCESS_TTL_S)
        payload = _Payload(
            sub=str(user_id),
            role=int(role),
            sid=session_id,
            iat=now,
            nbf=now,
            exp=expires_at,
            jti=secrets.token_urlsafe(16),
            iss=ISSUER,
            aud=AUDIENCE,
        )
        key = self._rings.current().signing(now).key
        footer = _encode(_Footer(key.key_id))
        token = pyseto.encode(key.key, _encode(payload), footer=footer, implicit_assertion=self._assertion)
        return Minted(token.decode(), expires_at)

    def verify(self, token: str) -> Claims:
        """Signature and every claim; a token seen before costs a look-up while it and its key are good.

        Whether its session has ended is not looked at here. Raises TokenRefused.
        """
        now = self._clock()
        self._follow(self._rings.current)
        seen = self._seen.get(token)
        if seen is not None and now < seen.until:
            self._seen.move_to_end(token)
            return seen.claims
        self._seen.pop(token, None)
        seen = self._checked(token, now)
        self._remember(token, seen)
        return seen.claims

    def _follow(self, ring_now: Callable[[], KeyRing]) -> None:
        """A key may have gone, and with it every token that it signed."""
        ring = ring_now()
        if ring is not self._ring:
            self._ring = ring
            self._seen.clear()

    def _remember(self, token: str, seen: _Seen) -> None:
        self._seen[token] = seen
        if len(self._seen) > MAX_CACHED:
            self._seen.popitem(last=False)

    def _checked(self, token: str, now: datetime) -> _Seen:
        key = self._key(_key_id(token), now)
        claims = _claims(self._signed(token, key), now)
        return _Seen(claims, min(claims.expires_at, key.accepted_until))

    def _key(self, key_id: str, now: datetime) -> RingKey:
        key = self._ring.get(key_id)
        if key is None:
            self._follow(self._rings.again)
            key = self._ring.get(key_id)
        if key is None:
            raise TokenRefused("made with an unknown key")
        if now >= key.accepted_until:
            raise TokenRefused("made with a key that is retired")
        return key

    def _signed(self, token: str, key: RingKey) -> bytes:
        """The payload, once the signature is known to be good."""
        try:
            opened = pyseto.decode(key.key.public, token, implicit_assertion=self._assertion)
        except (pyseto.PysetoError, ValueError) as error:
            raise TokenRefused("signature is wrong") from error
        assert isinstance(opened.payload, bytes)
        return opened.payload


def _key_id(token: str) -> str:
    """What the footer says, which nobody has vouched for yet."""
    if len(token) > MAX_TOKEN_CHARS:
        raise TokenRefused("too long")
    shape = _SHAPE.fullmatch(token)
    if shape is None:
        raise TokenRefused("not a v4.public token with a footer")
    if len(shape[2]) > MAX_FOOTER_CHARS:
        raise TokenRefused("footer too long")
    _decoded(shape[1])
    footer = _decoded(shape[2])
    try:
        key_id = _footers.decode(footer).kid
        _must_say_once(footer)
    except ValueError:
        raise TokenRefused("footer is wrong") from None
    return key_id


def _decoded(text: str) -> bytes:
    """One text for the same bytes: the last character has bits that mean nothing, and they must be 0."""
    try:
        decoded = urlsafe_b64decode(text + "=" * (-len(text) % 4))
    except ValueError:
        raise TokenRefused("not base64url") from None
    if urlsafe_b64encode(decoded).rstrip(b"=") != text.encode():
        raise TokenRefused("not base64url")
    return decoded


def _must_say_once(text: bytes) -> None:
    """Two readers of JSON may take different ones of two claims with the same name."""

    def once(pairs: list[tuple[str, Any]]) -> None:
        if len({name for name, _ in pairs}) < len(pairs):
            raise TokenRefused("a claim stands there twice")

    json.loads(text, object_pairs_hook=once)


def _claims(payload: bytes, now: datetime) -> Claims:
    try:
        said = _payloads.decode(payload)
        _must_say_once(payload)
    except ValueError as error:
        raise TokenRefused("claims are missing or malformed") from error
    _check_origin(said)
    _check_times(said, now)
    return Claims(int(said.sub), Role(said.role), said.sid, said.jti, said.iat, said.exp)


def _check_origin(said: _Payload) -> None:
    if (said.iss, said.aud) != (ISSUER, AUDIENCE):
        raise TokenRefused("from another issuer or for another audience")
    known_role = said.role in Role.__members__.values()
    is_user = _USER_ID.fullmatch(said.sub) is not None and int(said.sub) <= MAX_USER_ID
    if not (known_role and is_user and said.sid and said.jti):
        raise TokenRefused("sub, role, sid or jti is malformed")


def _check_times(said: _Payload, now: datetime) -> None:
    if any(at.tzinfo is None for at in (said.iat, said.nbf, said.exp)):
        raise TokenRefused("a time has no zone")
    ahead = now + timedelta(seconds=CLOCK_SKEW_S)
    if said.iat > ahead or said.nbf > ahead:
        raise TokenRefused("not good yet")
    if now >= said.exp:
        raise TokenRefused("expired")
    if said.exp - said.iat > timedelta(seconds=ACCESS_TTL_S):
        raise TokenRefused("good for longer than any token of ours")
