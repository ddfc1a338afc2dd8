"""Access tokens: PASETO v4.public over pyseto, every claim checked here.

pyseto looks at exp, nbf and aud only when it is handed a deserializer, accepts a token without exp and
never looks at iss, iat and jti. So it is asked for the signature alone, and the claims are decoded and
checked in `_claims`. One version and one purpose; the footer names the key; the implicit assertion
binds a token to its environment, so a token of the test system is worth nothing in production.
"""

import re
import secrets
from collections import OrderedDict
from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Final

import msgspec
import pyseto

from adapters.paseto_key import SigningKey
from domain.user import Role

ACCESS_TTL_S: Final = 900
"""How long an access token is good for, in seconds."""

CLOCK_SKEW_S: Final = 5
"""How far ahead the clock of the process that made a token may be, in seconds."""

MAX_TOKEN_CHARS: Final = 1_024
MAX_FOOTER_CHARS: Final = 256
MAX_CACHED: Final = 20_000
"""Verified tokens that are remembered; those not seen for longest go first."""

ISSUER: Final = "tillroll"
AUDIENCE: Final = "tillroll-http"

# base64url as the standard says, no padding: pyseto's decoder would skip foreign characters in silence.
_SHAPE = re.compile(r"v4\.public\.[A-Za-z0-9_-]+\.([A-Za-z0-9_-]+)")
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


class Tokens:
    """Makes tokens and checks them, under one key, for one environment."""

    def __init__(
        self,
        key: SigningKey,
        *,
        environment: str,
        clock: Callable[[], datetime],
        max_cached: int = MAX_CACHED,
    ) -> None:
        """`clock`: UTC now. `environment`: such as `production`; a token is good in its own only."""
        self._key = key
        self._assertion = environment.encode()
        self._clock = clock
        self._seen: OrderedDict[str, Claims] = OrderedDict()

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
        footer = _encode(_Footer(self._key.key_id))
        token = pyseto.encode(
            self._key.key, _encode(payload), footer=footer, implicit_assertion=self._assertion
        )
        return Minted(token.decode(), expires_at)

    def verify(self, token: str) -> Claims:
        """Signature and every claim; a token seen before costs a look-up until it expires.

        Whether its session has ended is not looked at here. Raises TokenRefused.
        """
        claims = self._seen.get(token)
        now = self._clock()
        if claims is None:
            claims = self._checked(token, now)
            self._remember(token, claims)
        elif now >= claims.expires_at:
            del self._seen[token]
            raise TokenRefused("expired")
        else:
            self._seen.move_to_end(token)
        return claims

    def _remember(self, token: str, claims: Claims) -> None:
        self._seen[token] = claims
        if len(self._seen) > MAX_CACHED:
            self._seen.popitem(last=False)

    def _checked(self, token: str, now: datetime) -> Claims:
        if len(token) > MAX_TOKEN_CHARS:
            raise TokenRefused("too long")
        shape = _SHAPE.fullmatch(token)
        if shape is None:
            raise TokenRefused("not a v4.public token with a footer")
        if len(shape[1]) > MAX_FOOTER_CHARS:
            raise TokenRefused("footer too long")
        return _claims(self._signed(token), now)

    def _signed(self, token: str) -> bytes:
        """The payload, once the signature is known to be good and the footer to name our key."""
        try:
            opened = pyseto.decode(self._key.key, token, implicit_assertion=self._assertion)
            footer = _footers.decode(opened.footer)  # type: ignore[arg-type]  # bytes without a deserializer
        except (pyseto.PysetoError, ValueError) as error:
            raise TokenRefused("signature or footer is wrong") from error
        if footer.kid != self._key.key_id:
            raise TokenRefused("made with another key")
        assert isinstance(opened.payload, bytes)
        return opened.payload


def _claims(payload: bytes, now: datetime) -> Claims:
    try:
        said = _payloads.decode(payload)
    except ValueError as error:
        raise TokenRefused("claims are missing or malformed") from error
    _check_origin(said)
    _check_times(said, now)
    return Claims(int(said.sub), Role(said.role), said.sid, said.jti, said.iat, said.exp)


def _check_origin(said: _Payload) -> None:
    if (said.iss, said.aud) != (ISSUER, AUDIENCE):
        raise TokenRefused("from another issuer or for another audience")
    known_role = said.role in Role.__members__.values()
    if not (known_role and _USER_ID.fullmatch(said.sub) and said.sid and said.jti):
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
