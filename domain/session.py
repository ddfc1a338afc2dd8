"""Session: one log-in. Its refresh tokens rotate; one used twice ends the session (RFC 9700, 4.14.2).

Its user's stream is read in the same decision, so what ends all sessions is either seen here or makes the
commit fail. The order is that of the log; no clock decides.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from typing import assert_never

from domain.refusals import NoSuchSession, PasswordOutdated
from domain.user import User

# state


@dataclass(frozen=True, slots=True)
class Session:
    """`refresh_digest`: hash of the one refresh token that is good now. `epoch`: the user's at its start."""

    user_id: int = 0
    refresh_digest: str = ""
    expires_at: datetime | None = None
    is_open: bool = False
    epoch: int = 0


NONE = Session()


# commands


@dataclass(frozen=True, slots=True)
class OpenSession:
    """`password_hash`: that which the password was compared with, a while ago."""

    session_id: str
    user_id: int
    password_hash: str
    refresh_digest: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class RotateSession:
    session_id: str
    used_digest: str
    refresh_digest: str
    at: datetime


@dataclass(frozen=True, slots=True)
class EndSession:
    session_id: str


# events


@dataclass(frozen=True, slots=True)
class SessionBegun:
    user_id: int
    refresh_digest: str
    expires_at: datetime
    epoch: int


@dataclass(frozen=True, slots=True)
class SessionRotated:
    refresh_digest: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    reason: str


SessionEvent = SessionBegun | SessionRotated | SessionEnded


def evolve(session: Session, event: SessionEvent) -> Session:
    match event:
        case SessionBegun(user_id, refresh_digest, expires_at, epoch):
            return Session(user_id, refresh_digest, expires_at, is_open=True, epoch=epoch)
        case SessionRotated(refresh_digest):
            return replace(session, refresh_digest=refresh_digest)
        case SessionEnded():
            return replace(session, refresh_digest="", is_open=False)
        case _:
            assert_never(event)


def decide_open(user: User, command: OpenSession) -> SessionBegun:
    """Raises PasswordOutdated when the password is another one by now, or the user is erased."""
    if user.is_erased or user.password_hash != command.password_hash:
        raise PasswordOutdated
    return SessionBegun(command.user_id, command.refresh_digest, command.expires_at, user.epoch)


def is_alive(session: Session, session_id: str, user: User) -> bool:
    """Whether neither the session nor all sessions of its user were ended."""
    return session.is_open and not user.is_logged_out(session_id, session.epoch)


def decide_rotate(session: Session, user: User, command: RotateSession) -> SessionRotated | SessionEnded:
    """SessionEnded when the token was used before: somebody else may hold it. Raises NoSuchSession."""
    if not is_alive(session, command.session_id, user):
        raise NoSuchSession
    if session.expires_at is None or command.at >= session.expires_at:
        raise NoSuchSession
    if command.used_digest != session.refresh_digest:
        return SessionEnded("refresh-token-reused")
    return SessionRotated(command.refresh_digest)


def decide_end(session: Session) -> tuple[SessionEvent, ...]:
    return (SessionEnded("logged-out"),) if session.is_open else ()
