"""The user desk: register, log in, refresh, log out and profiles, over the user ledger."""

import hashlib
import re
import secrets
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from adapters import user_email
from adapters.argon2_passwords import Passwords
from adapters.paseto_tokens import Claims, Minted, TokenRefused, Tokens
from adapters.user_attempts import Attempts
from adapters.user_revocations import Revocations
from domain import streams
from domain.recorded import Cause, Recorded
from domain.refusals import NoSuchSession, NoSuchUser, Refusal
from domain.session import EndSession, OpenSession, RotateSession, Session, SessionEnded
from domain.user import UNKNOWN, ChangeProfile, GrantRole, LogOutEverywhere, RegisterUser, Role, User
from orchestrator.ledger import Done, Ledger

REFRESH_TTL_S: Final = 30 * 24 * 3600
"""How long a session can be refreshed, in seconds from its log-in."""

SECRET_BYTES: Final = 32

_EPOCH = datetime(1970, 1, 1, tzinfo=UTC)
_TIME_DIGITS = 14
_REFRESH_TOKEN = re.compile(r"([0-9a-f]{34})\.([A-Za-z0-9_-]{43})")


class BadCredentials(Refusal):
    """The email address, the password or the token is wrong."""

    name = "bad-credentials"


@dataclass(frozen=True, slots=True)
class DeskTerms:
    """`email_key`: names email streams by keyed hash; losing it means nobody can log in."""

    email_key: bytes
    clock: Callable[[], datetime]
    new_command_id: Callable[[], str]


@dataclass(frozen=True, slots=True)
class Registration:
    user_id: int
    email: str
    password: str
    nickname: str
    gender: str | None = None
    role: Role = Role.CUSTOMER


@dataclass(frozen=True, slots=True)
class Seen:
    """A user as a call left it. `position`: in the user log, None when nothing had to be recorded."""

    user: User
    position: int | None


@dataclass(frozen=True, slots=True)
class SignedIn:
    """What a log-in or a refresh hands out."""

    user: User
    access: Minted
    refresh_token: str
    refresh_expires_at: datetime
    position: int | None


class UserDesk:
    def __init__(self, users: Ledger, tokens: Tokens, passwords: Passwords, terms: DeskTerms) -> None:
        self._users = users
        self._tokens = tokens
        self._passwords = passwords
        self._terms = terms
        self._attempts = Attempts()
        self._revocations = Revocations(terms.clock)
        # What this process records it knows at once; other processes' events come through `learn`.
        users.listeners.append(self._learn_all)

    # access tokens

    async def admit(self, claims: Claims) -> None:
        """Whether a verified token may still be used. Raises TokenRefused."""
        if not self._revocations.is_admitted(claims):
            await self._look_up(claims)
            self._revocations.note_admitted(claims)
        if self._revocations.is_dead(claims):
            raise TokenRefused("logged out, or the role was changed")

    def learn(self, recorded: Recorded) -> None:
        """Takes every event of the user log, in order; safe to be told twice."""
        self._revocations.learn(recorded)

    def _learn_all(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            self._revocations.learn(recorded)

    async def _look_up(self, claims: Claims) -> None:
        session_name, user_name = streams.session(claims.session_id), streams.user(claims.user_id)
        states = await self._users.read(session_name, user_name)
        session, user = states[session_name], states[user_name]
        if not session.is_open or session.user_id != claims.user_id:
            raise TokenRefused("its session has ended")
        if user.role != claims.role or _is_before_log_out(user, claims.issued_at):
            raise TokenRefused("logged out everywhere, or the role was changed")

    # users

    async def register(self, new: Registration) -> Seen:
        """Raises EmailTaken, IdTaken, Overloaded, ValueError for what is no email address."""
        command = RegisterUser(
            user_id=new.user_id,
            email=user_email.tidy(new.email),
            email_digest=self._digest(new.email),
            nickname=new.nickname,
            gender=new.gender,
            role=new.role,
            password_hash=await self._passwords.hash(new.password),
        )
        return _seen(new.user_id, await self._submit(command, new.user_id))

    async def profile(self, user_id: int) -> User:
        """Raises NoSuchUser."""
        user = await self._user(user_id)
        if user == UNKNOWN:
            raise NoSuchUser
        return user

    async def change_profile(self, change: ChangeProfile) -> Seen:
        """Raises NoSuchUser."""
        return _seen(change.user_id, await self._submit(change, change.user_id))

    async def change_password(self, change: ChangeProfile, *, current: str, new: str) -> Seen:
        """The password, and what else `change` names, in one commit.

        Raises BadCredentials when `current` is wrong, TooManyAttempts, NoSuchUser.
        """
        user_id = change.user_id
        user = await self.profile(user_id)
        await self._check_password(streams.user(user_id), user, current)
        hashed = await self._passwords.hash(new)
        command = ChangeProfile(user_id, change.nickname, change.gender, hashed)
        return _seen(user_id, await self._submit(command, user_id))

    async def grant_role(self, user_id: int, role: Role, *, by: int) -> Seen:
        """`by`: the member of staff who does it. Raises NoSuchUser."""
        return _seen(user_id, await self._submit(GrantRole(user_id, role), by))

    # sessions

    async def log_in(self, email: str, password: str) -> SignedIn:
        """Same answer and same work for an unknown address and a wrong password.

        Raises BadCredentials, TooManyAttempts, Overloaded.
        """
        digest = self._digest(email)
        claim_name = streams.email(digest)
        claim = (await self._users.read(claim_name))[claim_name]
        # User 0 is nobody: read all the same, so that an unknown address takes as long.
        user = await self._user(claim.user_id)
        await self._check_password(digest, user, password)
        return await self._open_session(user)

    async def refresh(self, refresh_token: str) -> SignedIn:
        """A new pair for a refresh token, which is good once; used twice, its session ends.

        Raises BadCredentials.
        """
        session_id, secret = _split(refresh_token)
        name = streams.session(session_id)
        session: Session = (await self._users.read(name))[name]
        user = await self._user(session.user_id)
        if _is_before_log_out(user, _opened_at(session_id)):
            raise BadCredentials
        new_secret = _new_secret()
        command = RotateSession(session_id, _sha256(secret), _sha256(new_secret), self._terms.clock())
        done = await self._rotate(command, session.user_id)
        return self._signed_in(user, session_id, new_secret, done)

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

    async def _open_session(self, user: User) -> SignedIn:
        now = self._terms.clock()
        session_id, secret = _new_session_id(now), _new_secret()
        expires_at = now + timedelta(seconds=REFRESH_TTL_S)
        command = OpenSession(session_id, user.user_id, _sha256(secret), expires_at)
        done = await self._submit(command, user.user_id)
        return self._signed_in(user, session_id, secret, done)

    def _signed_in(self, user: User, session_id: str, secret: str, done: Done) -> SignedIn:
        session: Session = done.states[streams.session(session_id)]
        assert session.expires_at is not None, "an open session has an end"
        access = self._tokens.mint(user_id=user.user_id, role=user.role, session_id=session_id)
        return SignedIn(user, access, f"{session_id}.{secret}", session.expires_at, done.position)

    async def _check_password(self, account: str, user: User, password: str) -> None:
        """Guesses sent at once count one by one, because the check is made when their turn comes."""
        encoded = user.password_hash or None
        good = await self._passwords.matches(
            encoded, password, before=lambda: self._attempts.check(account, self._terms.clock())
        )
        if not good:
            self._attempts.failed(account, self._terms.clock())
            raise BadCredentials
        self._attempts.succeeded(account)

    # the ledger

    async def _user(self, user_id: int) -> User:
        name = streams.user(user_id)
        user: User = (await self._users.read(name))[name]
        return user

    async def _submit(self, command: Any, by: int) -> Done:
        cause = Cause(self._terms.new_command_id(), streams.user(by), "", self._terms.clock())
        return await self._users.submit(command, cause)

    def _digest(self, email: str) -> str:
        return user_email.digest(email, self._terms.email_key)


def _seen(user_id: int, done: Done) -> Seen:
    return Seen(done.states[streams.user(user_id)], done.position)


def _is_before_log_out(user: User, at: datetime) -> bool:
    return user.logged_out_at is not None and at <= user.logged_out_at


def _new_session_id(now: datetime) -> str:
    """The microsecond at which it begins, then chance: the events of a session do not say when it began."""
    micros = (now - _EPOCH) // timedelta(microseconds=1)
    return f"{micros:0{_TIME_DIGITS}x}{secrets.token_hex(10)}"


def _opened_at(session_id: str) -> datetime:
    return _EPOCH + timedelta(microseconds=int(session_id[:_TIME_DIGITS], 16))


def _new_secret() -> str:
    return secrets.token_urlsafe(SECRET_BYTES)


def _sha256(secret: str) -> str:
    # 256 random bits need no slow hash: there is nothing to guess.
    return hashlib.sha256(secret.encode()).hexdigest()


def _split(refresh_token: str) -> tuple[str, str]:
    """Session id and secret. Raises BadCredentials for what cannot be a refresh token of ours."""
    shape = _REFRESH_TOKEN.fullmatch(refresh_token)
    if shape is None:
        raise BadCredentials
    return shape[1], shape[2]
