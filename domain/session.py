"""Session: one log-in. Its refresh tokens rotate; one used twice ends the session (RFC 9700, 4.14.2)."""

from dataclasses import dataclass
from datetime import datetime
from typing import assert_never

from domain.refusals import NoSuchSession

# state


@dataclass(frozen=True, slots=True)
class Session:
    """`refresh_digest`: hash of the one refresh token that is good now."""

    user_id: int = 0
    refresh_digest: str = ""
    expires_at: datetime | None = None
    is_open: bool = False


NONE = Session()


# commands


@dataclass(frozen=True, slots=True)
class OpenSession:
    session_id: str
    user_id: int
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
class SessionOpened:
    user_id: int
    refresh_digest: str
    expires_at: datetime


@dataclass(frozen=True, slots=True)
class SessionRotated:
    refresh_digest: str


@dataclass(frozen=True, slots=True)
class SessionEnded:
    reason: str


SessionEvent = SessionOpened | SessionRotated | SessionEnded


def evolve(session: Session, event: SessionEvent) -> Session:
    match event:
        case SessionOpened(user_id, refresh_digest, expires_at):
            return Session(user_id, refresh_digest, expires_at, is_open=True)
        case SessionRotated(refresh_digest):
            return Session(session.user_id, refresh_digest, session.expires_at, session.is_open)
        case SessionEnded():
            return Session(session.user_id, "", session.expires_at, is_open=False)
        case _:
            assert_never(event)


def decide_open(command: OpenSession) -> SessionOpened:
    return SessionOpened(command.user_id, command.refresh_digest, command.expires_at)


def decide_rotate(session: Session, command: RotateSession) -> SessionRotated | SessionEnded:
    """SessionEnded when the token was used before: somebody else may hold it. Raises NoSuchSession."""
    if not session.is_open or session.expires_at is None or command.at >= session.expires_at:
        raise NoSuchSession
    if command.used_digest != session.refresh_digest:
        return SessionEnded("refresh-token-reused")
    return SessionRotated(command.refresh_digest)


def decide_end(session: Session) -> tuple[SessionEvent, ...]:
    return (SessionEnded("logged-out"),) if session.is_open else ()
