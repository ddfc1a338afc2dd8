"""User: who may do what. The email address is its own stream, so it is unique without a race.

Email, nickname, gender and password hash reach this file sealed (adapters.sealing): to the domain they are
texts that nobody can read, so an erased user needs no event to be rewritten, only a key to be destroyed.
"""

from dataclasses import dataclass, replace
from datetime import datetime
from enum import IntEnum
from typing import assert_never

from domain.refusals import EmailTaken, IdTaken, NoSuchUser, OwnRole, PasswordOutdated

# state


class Role(IntEnum):
    CUSTOMER = 1
    STAFF = 2
    SERVICE = 3


@dataclass(frozen=True, slots=True)
class User:
    """`password_hash`: an argon2id string, never the password.

    `epoch`: how often all sessions were ended; those of an earlier one are dead, all but `kept_session`.
    """

    user_id: int = 0
    email: str = ""
    nickname: str = ""
    gender: str | None = None
    role: Role = Role.CUSTOMER
    password_hash: str = ""
    epoch: int = 0
    kept_session: str = ""
    is_erased: bool = False

    def is_logged_out(self, session_id: str, epoch: int) -> bool:
        """Whether that session, begun in that epoch, is dead."""
        return self.is_erased or (epoch < self.epoch and session_id != self.kept_session)


UNKNOWN = User()


@dataclass(frozen=True, slots=True)
class EmailClaim:
    """`is_released`: it was somebody's, who is erased."""

    user_id: int = 0
    is_released: bool = False


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


@dataclass(frozen=True, slots=True)
class ChangePassword:
    """Ends every session but `session_id`, which knew the password of `known_hash`. May change more."""

    profile: ChangeProfile
    known_hash: str
    password_hash: str
    session_id: str
    at: datetime

    @property
    def user_id(self) -> int:
        return self.profile.user_id


@dataclass(frozen=True, slots=True)
class GrantRole:
    """`by`: the member of staff who does it; 0 when it is not a user."""

    user_id: int
    role: Role
    by: int = 0


@dataclass(frozen=True, slots=True)
class LogOutEverywhere:
    user_id: int
    at: datetime


@dataclass(frozen=True, slots=True)
class EraseUser:
    """`email_digest`: as in RegisterUser; the address is free again afterwards."""

    user_id: int
    email_digest: str


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


@dataclass(frozen=True, slots=True)
class LoggedOutElsewhere:
    """As LoggedOutEverywhere, but one session goes on."""

    at: datetime
    kept_session: str


@dataclass(frozen=True, slots=True)
class UserErased:
    """The user is nobody from here on; the key of what is sealed above is destroyed next."""


UserEvent = (
    UserRegistered
    | ProfileChanged
    | PasswordChanged
    | RoleGranted
    | LoggedOutEverywhere
    | LoggedOutElsewhere
    | UserErased
)


@dataclass(frozen=True, slots=True)
class EmailClaimed:
    user_id: int


@dataclass(frozen=True, slots=True)
class EmailReleased:
    """The address belongs to nobody, and may be claimed again."""


EmailEvent = EmailClaimed | EmailReleased


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
        case LoggedOutEverywhere():
            return replace(user, epoch=user.epoch + 1, kept_session="")
        case LoggedOutElsewhere(_, kept_session):
            return replace(user, epoch=user.epoch + 1, kept_session=kept_session)
        case UserErased():
            return User(user_id=user.user_id, role=user.role, is_erased=True)
        case _:
            assert_never(event)


def evolve_claim(_claim: EmailClaim, event: EmailEvent) -> EmailClaim:
    match event:
        case EmailClaimed(user_id):
            return EmailClaim(user_id)
        case EmailReleased():
            return EmailClaim(is_released=True)
        case _:
            assert_never(event)


def decide_register(
    user: User, claim: EmailClaim, command: RegisterUser
) -> tuple[UserRegistered, EmailClaimed]:
    """Both in one commit. Raises EmailTaken, or IdTaken for an id in use."""
    if claim.user_id:
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
    _must_be(user)
    nickname = user.nickname if command.nickname is None else command.nickname
    gender = user.gender if command.gender is None else command.gender
    if (nickname, gender) == (user.nickname, user.gender):
        return ()
    return (ProfileChanged(nickname, gender),)


def decide_password(user: User, command: ChangePassword) -> tuple[UserEvent, ...]:
    """Others signed in may be the reason (ASVS 5.0, 7.4.3). Raises NoSuchUser, PasswordOutdated."""
    _must_be(user)
    if user.password_hash != command.known_hash:
        raise PasswordOutdated
    changed = decide_profile(user, command.profile)
    ended = LoggedOutElsewhere(command.at, command.session_id)
    return (*changed, PasswordChanged(command.password_hash), ended)


def decide_role(user: User, command: GrantRole) -> tuple[UserEvent, ...]:
    """Raises NoSuchUser; OwnRole, so that the last member of staff stays one."""
    _must_be(user)
    if command.by == command.user_id:
        raise OwnRole
    return () if user.role == command.role else (RoleGranted(command.role),)


def decide_log_out(user: User, command: LogOutEverywhere) -> tuple[UserEvent, ...]:
    """Raises NoSuchUser."""
    _must_be(user)
    return (LoggedOutEverywhere(command.at),)


def decide_erase(user: User, claim: EmailClaim) -> tuple[UserErased, EmailReleased | None] | None:
    """None for one who is erased already. The address is released only by whom it belongs to.

    Raises NoSuchUser.
    """
    if user == UNKNOWN:
        raise NoSuchUser
    if user.is_erased:
        return None
    return UserErased(), EmailReleased() if claim.user_id == user.user_id else None


def _must_be(user: User) -> None:
    if user == UNKNOWN or user.is_erased:
        raise NoSuchUser
