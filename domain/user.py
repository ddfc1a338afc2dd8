"""User: who may do what. The email address is its own stream, so it is unique without a race."""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import assert_never

from domain.refusals import EmailTaken, IdTaken, NoSuchUser

# state


class Role(IntEnum):
    CUSTOMER = 1
    STAFF = 2
    SERVICE = 3


@dataclass(frozen=True, slots=True)
class User:
    """`password_hash`: an argon2id string, never the password. Tokens made up to `logged_out_at` are dead."""

    user_id: int = 0
    email: str = ""
    nickname: str = ""
    gender: str | None = None
    role: Role = Role.CUSTOMER
    password_hash: str = ""
    logged_out_at: datetime | None = None


UNKNOWN = User()


@dataclass(frozen=True, slots=True)
class EmailClaim:
    user_id: int = 0


UNCLAIMED = EmailClaim()


# commands


@dataclass(frozen=True, slots=True)
class RegisterUser:
    """`email_digest`: keyed hash of the normalised address; it names the claim's stream."""

    user_id: int
    email: str
    email_digest: str
    nickname: str
    gender: str | None
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class ChangeProfile:
    """None leaves a field as it is."""

    user_id: int
    nickname: str | None = None
    gender: str | None = None
    password_hash: str | None = None


@dataclass(frozen=True, slots=True)
class GrantRole:
    user_id: int
    role: Role


@dataclass(frozen=True, slots=True)
class LogOutEverywhere:
    user_id: int
    at: datetime


# events


@dataclass(frozen=True, slots=True)
class UserRegistered:
    user_id: int
    email: str
    nickname: str
    gender: str | None
    role: Role
    password_hash: str


@dataclass(frozen=True, slots=True)
class ProfileChanged:
    nickname: str
    gender: str | None


@dataclass(frozen=True, slots=True)
class PasswordChanged:
    password_hash: str


@dataclass(frozen=True, slots=True)
class RoleGranted:
    role: Role


@dataclass(frozen=True, slots=True)
class LoggedOutEverywhere:
    at: datetime


UserEvent = UserRegistered | ProfileChanged | PasswordChanged | RoleGranted | LoggedOutEverywhere


@dataclass(frozen=True, slots=True)
class EmailClaimed:
    user_id: int


def evolve(user: User, event: UserEvent) -> User:
    match event:
        case UserRegistered():
            return User(
                user_id=event.user_id,
                email=event.email,
                nickname=event.nickname,
                gender=event.gender,
                role=Role(event.role),
                password_hash=event.password_hash,
            )
        case ProfileChanged(nickname, gender):
            return replace(user, nickname=nickname, gender=gender)
        case PasswordChanged(password_hash):
            return replace(user, password_hash=password_hash)
        case RoleGranted(role):
            return replace(user, role=Role(role))
        case LoggedOutEverywhere(at):
            return replace(user, logged_out_at=at)
        case _:
            assert_never(event)


def evolve_claim(_claim: EmailClaim, event: EmailClaimed) -> EmailClaim:
    return EmailClaim(event.user_id)


def decide_register(
    user: User, claim: EmailClaim, command: RegisterUser
) -> tuple[UserRegistered, EmailClaimed]:
    """Both in one commit. Raises EmailTaken, or IdTaken for an id in use."""
    if claim != UNCLAIMED:
        raise EmailTaken
    if user != UNKNOWN:
        raise IdTaken
    registered = UserRegistered(
        user_id=command.user_id,
        email=command.email,
        nickname=command.nickname,
        gender=command.gender,
        role=command.role,
        password_hash=command.password_hash,
    )
    return registered, EmailClaimed(command.user_id)


def decide_profile(user: User, command: ChangeProfile) -> tuple[UserEvent, ...]:
    """Raises NoSuchUser."""
    if user == UNKNOWN:
        raise NoSuchUser
    nickname = user.nickname if command.nickname is None else command.nickname
    gender = user.gender if command.gender is None else command.gender
    events: list[UserEvent] = []
    if (nickname, gender) != (user.nickname, user.gender):
        events.append(ProfileChanged(nickname, gender))
    if command.password_hash is not None:
        events.append(PasswordChanged(command.password_hash))
    return tuple(events)


def decide_role(user: User, command: GrantRole) -> tuple[UserEvent, ...]:
    """Raises NoSuchUser."""
    if user == UNKNOWN:
        raise NoSuchUser
    return () if user.role == command.role else (RoleGranted(command.role),)


def decide_log_out(user: User, command: LogOutEverywhere) -> tuple[UserEvent, ...]:
    """Raises NoSuchUser."""
    if user == UNKNOWN:
        raise NoSuchUser
    return (LoggedOutEverywhere(command.at),)
