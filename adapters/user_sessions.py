"""Sessions: log in, refresh, log out, and whether an access token may still be used."""

import hashlib
import hmac
import re
import secrets
from base64 import urlsafe_b64decode, urlsafe_b64encode
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Any, Final

from adapters.paseto_tokens import Claims, Minted, TokenRefused, Tokens
from adapters.personal_data import PersonalData, Profile, profile_of, unseal_of
from adapters.sealing import PersonKey
from adapters.user_desk import DeskTerms
from adapters.user_passwords import BadCredentials, Guess, PasswordCheck
from adapters.user_revocations import Revocations
from domain import streams
from domain.recorded import Recorded
from domain.refusals import NoSuchSession, PasswordOutdated
from domain.session import EndSession, OpenSession, RotateSession, Session, SessionEnded, is_alive
from domain.user import LogOutEverywhere, User, UserErased
from orchestrator.ledger import Done, Ledger

REFRESH_TTL_S: Final = 30 * 24 * 3600
"""How long a session can be refreshed, in seconds from its log-in."""

SECRET_BYTES: Final = 16
"""Of chance in a refresh token; as many more of a mark say that it was made here."""

SESSION_BYTES: Final = 17

_REFRESH_TOKEN = re.compile(r"([0-9a-f]{34})\.([A-Za-z0-9_-]{43})")


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a log-in or a refresh hands out."""

    profile: Profile
    access: Minted
    refresh_token: str
    refresh_expires_at: datetime
    position: int | None


@dataclass(frozen=True, slots=True)
class SessionParts:
    users: Ledger
    personal: PersonalData
    passwords: PasswordCheck
    tokens: Tokens
    terms: DeskTerms


class Sessions:
    """`hears_all`: whether what other processes recorded up to a second ago is known here.

    While it is not, no token is trusted without asking the log, so that one which was revoked is dead
    within a second whatever stands still.
    """

    def __init__(self, parts: SessionParts) -> None:
        self._users = parts.users
        self._personal = parts.personal
        self._passwords = parts.passwords
        self._tokens = parts.tokens
        self._terms = parts.terms
        self._revocations = Revocations()
        self.hears_all: Callable[[], bool] = lambda: True
        # What this process records it knows at once; other processes' events come through `learn`.
        parts.users.listeners.append(self._learn_all)

    # access tokens

    async def admit(self, claims: Claims) -> None:
        """Whether a verified token may still be used. Raises TokenRefused, Unavailable."""
        if not (self._revocations.is_admitted(claims) and self.hears_all()):
            ends = self._revocations.ends
            await self._look_up(claims)
            self._revocations.note_admitted(claims, ends=ends)

    def learn(self, recorded: Recorded) -> None:
        """Takes every event of the user log, in order; safe to be told twice."""
        self._revocations.learn(recorded)
        if isinstance(recorded.event, UserErased):
            self._personal.forget(int(streams.key_of(recorded.originator_id)))

    def _learn_all(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            self.learn(recorded)

    async def _look_up(self, claims: Claims) -> None:
        session_name, user_name = streams.session(claims.session_id), streams.user(claims.user_id)
        states = await self._users.read(session_name, user_name)
        session: Session = states[session_name]
        user: User = states[user_name]
        if not session.is_open or session.user_id != claims.user_id:
            raise TokenRefused("its session has ended")
        if user.role != claims.role or not is_alive(session, claims.session_id, user):
            raise TokenRefused("logged out everywhere, erased, or the role was changed")

    # sessions

    async def log_in(self, email: str, password: str, *, host: str) -> SignedIn:
        """Same answer and same work for an unknown address and a wrong password. `host`: the caller's.

        Raises BadCredentials, TooManyAttempts, Overloaded.
        """
        digest = self._terms.digest(email)
        claim_name = streams.email(digest)
        claim = (await self._users.read(claim_name))[claim_name]
        # User 0 is nobody: looked for all the same, so that an unknown address takes as long.
        user = await self._user(claim.user_id)
        key = (await self._personal.fresh_keys_of([claim.user_id])).get(claim.user_id)
        encoded = None if key is None else _password_hash(user, key)
        await self._passwords.must_match(encoded, Guess(digest, host, password))
        assert key is not None, "nobody's password never matches"
        return await self._open_session(user, key)

    async def refresh(self, refresh_token: str) -> SignedIn:
        """A new pair for a refresh token, which is good once; used twice, its session ends.

        Raises BadCredentials.
        """
        session_id, secret = _split(refresh_token)
        name = streams.session(session_id)
        session: Session = (await self._users.read(name))[name]
        key = await self._personal.key_of(session.user_id)
        if key is None or not _was_made_here(key, session_id, secret):
            # Made up, so it says nothing of whoever holds the good one: only a used token ends its session.
            raise BadCredentials
        new_secret = _new_secret(key, session_id)
        command = RotateSession(session_id, _sha256(secret), _sha256(new_secret), self._terms.clock())
        done = await self._rotate(command, session.user_id)
        return self._signed_in(key, session_id, new_secret, done)

    async def log_out(self, claims: Claims) -> int | None:
        """Ends the token's own session. The log position, or None when it had ended before."""
        return (await self._submit(EndSession(claims.session_id), claims.user_id)).position

    async def log_out_everywhere(self, claims: Claims) -> int | None:
        command = LogOutEverywhere(claims.user_id, self._terms.clock())
        return (await self._submit(command, claims.user_id)).position

    async def _rotate(self, command: RotateSession, user_id: int) -> Done:
        try:
            done = await self._submit(command, user_id)
        except NoSuchSession as refusal:
            raise BadCredentials from refusal
        if any(isinstance(event, SessionEnded) for _, event in done.written):
            raise BadCredentials
        return done

    async def _open_session(self, user: User, key: PersonKey) -> SignedIn:
        now = self._terms.clock()
        session_id = secrets.token_hex(SESSION_BYTES)
        secret = _new_secret(key, session_id)
        expires_at = now + timedelta(seconds=REFRESH_TTL_S)
        command = OpenSession(session_id, user.user_id, user.password_hash, _sha256(secret), expires_at)
        try:
            done = await self._submit(command, user.user_id)
        except PasswordOutdated as refusal:
            raise BadCredentials from refusal
        return self._signed_in(key, session_id, secret, done)

    def _signed_in(self, key: PersonKey, session_id: str, secret: str, done: Done) -> SignedIn:
        """The user as the decision saw them: a role that was read before may be another one by now."""
        session: Session = done.states[streams.session(session_id)]
        profile = profile_of(done.states[streams.user(session.user_id)], key)
        assert session.expires_at is not None, "an open session has an end"
        access = self._tokens.mint(user_id=profile.user_id, role=profile.role, session_id=session_id)
        return SignedIn(profile, access, f"{session_id}.{secret}", session.expires_at, done.position)

    async def _user(self, user_id: int) -> User:
        name = streams.user(user_id)
        user: User = (await self._users.read(name))[name]
        return user

    async def _submit(self, command: Any, by: int) -> Done:
        return await self._users.submit(command, self._terms.cause(streams.user(by)))


def _password_hash(user: User, key: PersonKey) -> str | None:
    """None for a user who is erased."""
    if not user.password_hash:
        return None
    return unseal_of(key, user.user_id, "password_hash", user.password_hash)


def _new_secret(key: PersonKey, session_id: str) -> str:
    chance = secrets.token_bytes(SECRET_BYTES)
    return urlsafe_b64encode(chance + _mark(key, session_id, chance)).decode().rstrip("=")


def _was_made_here(key: PersonKey, session_id: str, secret: str) -> bool:
    raw = urlsafe_b64decode(secret + "=")
    chance, mark = raw[:SECRET_BYTES], raw[SECRET_BYTES:]
    return hmac.compare_digest(mark, _mark(key, session_id, chance))


def _mark(key: PersonKey, session_id: str, chance: bytes) -> bytes:
    return bytes.fromhex(key.fingerprint(b"refresh " + session_id.encode() + chance))


def _sha256(secret: str) -> str:
    # 128 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


def _split(refresh_token: str) -> tuple[str, str]:
    """Session id and secret. Raises BadCredentials for what cannot be a refresh token of ours."""
    shape = _REFRESH_TOKEN.fullmatch(refresh_token)
    if shape is None:
        raise BadCredentials
    return shape[1], shape[2]
