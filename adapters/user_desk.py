"""The user desk: register, profiles, passwords, roles and erasure, over the user ledger.

Personal data comes in and goes out in the clear here, and nowhere further in: what is submitted is sealed.
"""

from collections.abc import Callable
from dataclasses import dataclass
from datetime import datetime
from typing import Any

from adapters import user_email
from adapters.personal_data import PersonalData, Profile, profile_of, seal_of, unseal_of
from adapters.sealing import PersonKey
from adapters.user_passwords import BadCredentials, Guess, PasswordCheck
from domain import streams
from domain.recorded import Cause
from domain.refusals import EmailTaken, NoSuchUser, PasswordOutdated
from domain.user import (
    UNKNOWN,
    ChangePassword,
    ChangeProfile,
    EmailClaim,
    EraseUser,
    GrantRole,
    LogOutEverywhere,
    RegisterUser,
    Role,
    User,
)
from orchestrator.ledger import Done, Ledger


def _nothing(_email: str) -> None:
    pass


@dataclass(frozen=True, slots=True)
class DeskTerms:
    """`email_key`: names email streams by keyed hash; losing it means nobody can log in.

    `on_erased` is told the address of somebody erased, to forget it wherever else it is.
    """

    email_key: bytes
    clock: Callable[[], datetime]
    new_command_id: Callable[[], str]
    on_erased: Callable[[str], None] = _nothing

    def cause(self, caller: str) -> Cause:
        return Cause(self.new_command_id(), caller, "", self.clock())

    def digest(self, email: str) -> str:
        return user_email.digest(email, self.email_key)


@dataclass(frozen=True, slots=True)
class Registration:
    user_id: int
    email: str
    password: str
    nickname: str
    gender: str | None = None
    role: Role = Role.CUSTOMER


@dataclass(frozen=True, slots=True)
class NewPassword:
    """`session_id`: the session that goes on; `host`: the caller's address, for the limit of attempts."""

    current: str
    new: str
    session_id: str
    host: str


@dataclass(frozen=True, slots=True)
class Seen:
    """A user as a call left it. `position`: in the user log, None when nothing had to be recorded."""

    profile: Profile
    position: int | None


class UserDesk:
    def __init__(
        self, users: Ledger, personal: PersonalData, passwords: PasswordCheck, terms: DeskTerms
    ) -> None:
        self._users = users
        self._personal = personal
        self._passwords = passwords
        self._terms = terms

    async def register(self, new: Registration) -> Seen:
        """Raises EmailTaken, PasswordTooCommon, IdTaken, Overloaded; ValueError for what is no address."""
        user_id, email = new.user_id, user_email.tidy(new.email)
        digest = self._terms.digest(email)
        hashed = await self._passwords.hash(new.password)
        key = await self._personal.make_key(user_id)
        command = RegisterUser(
            user_id=user_id,
            email=seal_of(key, user_id, "email", email),
            email_digest=digest,
            nickname=seal_of(key, user_id, "nickname", new.nickname),
            gender=None if new.gender is None else seal_of(key, user_id, "gender", new.gender),
            role=new.role,
            password_hash=seal_of(key, user_id, "password_hash", hashed),
        )
        try:
            done = await self._submit(command, streams.user(user_id))
        except EmailTaken:
            await self._personal.unmake_key(user_id)
            raise
        return _seen(user_id, key, done)

    async def was_erased(self, email: str) -> bool:
        """Whether this address was somebody's who is erased, and nobody's since."""
        name = streams.email(self._terms.digest(email))
        claim: EmailClaim = (await self._users.read(name))[name]
        return claim.is_released

    async def find(self, email: str) -> int:
        """Whose address this is. Raises NoSuchUser."""
        name = streams.email(self._terms.digest(email))
        user_id: int = (await self._users.read(name))[name].user_id
        if not user_id:
            raise NoSuchUser
        return user_id

    async def profile(self, user_id: int) -> Profile:
        """Raises NoSuchUser, also for one who is erased."""
        return profile_of(*await self._known(user_id))

    async def change_profile(self, change: ChangeProfile) -> Seen:
        """`change` is in the clear. Raises NoSuchUser."""
        key, sealed = await self._sealed(change)
        return _seen(change.user_id, key, await self._submit(sealed, streams.user(change.user_id)))

    async def change_password(self, change: ChangeProfile, password: NewPassword) -> Seen:
        """The password, and what else `change` names, in one commit; every other session ends.

        Raises BadCredentials when the current one is wrong, TooManyAttempts, PasswordTooCommon, Overloaded,
        NoSuchUser.
        """
        user_id = change.user_id
        user, key = await self._known(user_id)
        account = self._terms.digest(unseal_of(key, user_id, "email", user.email))
        encoded = unseal_of(key, user_id, "password_hash", user.password_hash)
        await self._passwords.must_match(encoded, Guess(account, password.host, password.current))
        hashed = await self._passwords.hash(password.new)
        key, sealed = await self._sealed(change)
        command = ChangePassword(
            sealed,
            user.password_hash,
            seal_of(key, user_id, "password_hash", hashed),
            password.session_id,
            self._terms.clock(),
        )
        try:
            return _seen(user_id, key, await self._submit(command, streams.user(user_id)))
        except PasswordOutdated as refusal:
            raise BadCredentials from refusal

    async def grant_role(self, user_id: int, role: Role, *, by: int) -> Seen:
        """`by`: the member of staff who does it. Raises NoSuchUser, OwnRole."""
        _, key = await self._known(user_id)
        done = await self._submit(GrantRole(user_id, role, by), streams.user(by))
        return _seen(user_id, key, done)

    async def log_out(self, user_id: int, *, by: str) -> int | None:
        """Ends every session of a user, as somebody else may have to. Raises NoSuchUser."""
        command = LogOutEverywhere(user_id, self._terms.clock())
        return (await self._submit(command, by)).position

    async def erase(self, user_id: int, *, by: str) -> int | None:
        """Records that the user is nobody any more; destroying the key is what adapters.erasure does next.

        `by`: the caller's name in the log. The position, None when it was recorded before. Raises NoSuchUser.
        """
        user = await self._user(user_id)
        key = await self._personal.key_of(user_id)
        email = "" if user.is_erased or key is None else unseal_of(key, user_id, "email", user.email)
        done = await self._submit(EraseUser(user_id, self._terms.digest(email)), by)
        self._personal.forget(user_id)
        self._terms.on_erased(email)
        return done.position

    async def _sealed(self, change: ChangeProfile) -> tuple[PersonKey, ChangeProfile]:
        """What stays the same is left out: sealed twice it would look different. Raises NoSuchUser."""
        user_id = change.user_id
        user, key = await self._known(user_id)
        before = profile_of(user, key)

        def sealed(field: str, old: str | None, new: str | None) -> str | None:
            return None if new is None or new == old else seal_of(key, user_id, field, new)

        nickname = sealed("nickname", before.nickname, change.nickname)
        return key, ChangeProfile(user_id, nickname, sealed("gender", before.gender, change.gender))

    async def _known(self, user_id: int) -> tuple[User, PersonKey]:
        """Raises NoSuchUser."""
        user = await self._user(user_id)
        key = await self._personal.key_of(user_id)
        if user == UNKNOWN or user.is_erased or key is None:
            raise NoSuchUser
        return user, key

    async def _user(self, user_id: int) -> User:
        name = streams.user(user_id)
        user: User = (await self._users.read(name))[name]
        return user

    async def _submit(self, command: Any, by: str) -> Done:
        return await self._users.submit(command, self._terms.cause(by))


def _seen(user_id: int, key: PersonKey, done: Done) -> Seen:
    return Seen(profile_of(done.states[streams.user(user_id)], key), done.position)
