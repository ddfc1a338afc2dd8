"""Checking a password: against guessing by account and by address, and alike for those whom nobody knows."""

import logging
from collections.abc import Sequence
from dataclasses import dataclass

from adapters.argon2_passwords import Passwords
from adapters.user_attempts import AttemptLimits, Pace, Subject, TooManyAttempts, address_digest
from domain.refusals import Refusal, Unfit

logger = logging.getLogger(__name__)


class BadCredentials(Refusal):
    """The email address, the password or the token is wrong."""

    name = "bad-credentials"


class PasswordTooCommon(Unfit):
    """Too many people have this password, or it is easy to guess; choose another one."""

    name = "password-too-common"


@dataclass(frozen=True, slots=True)
class Guess:
    """A password that somebody says is theirs.

    `account`: keyed hash of the email address. `host`: the address of the caller.
    """

    account: str
    host: str
    password: str


class PasswordCheck:
    """`key`: the hash key of addresses, which are kept hashed. `refused`: nobody may choose them."""

    def __init__(
        self,
        passwords: Passwords,
        attempts: AttemptLimits,
        key: bytes,
        refused: frozenset[str] = frozenset(),
    ) -> None:
        self._passwords = passwords
        self._attempts = attempts
        self._key = key
        self._refused = refused
        self._pace = Pace()

    async def hash(self, password: str) -> str:
        """Of a password that somebody chooses. Raises PasswordTooCommon, Overloaded."""
        if password in self._refused or password.lower() in self._refused:
            raise PasswordTooCommon
        return await self._passwords.hash(password)

    async def must_match(self, encoded: str | None, guess: Guess) -> None:
        """`encoded`: the argon2id string, None when there is no such user, which takes as long.

        Limits are looked at before a guess waits for its turn, so that those who may not guess do not fill
        the queue, and when its turn has come, so that guesses sent at once count one by one.
        Raises BadCredentials, TooManyAttempts, Overloaded.
        """
        account = Subject("account", guess.account)
        subjects = (account, Subject("address", address_digest(guess.host, self._key)))
        try:
            is_right = await self._matches(encoded, guess.password, subjects)
        except TooManyAttempts:
            await self._pace.keep()
            raise
        if not is_right:
            await self._attempts.failed(subjects)
            logger.warning("a password was wrong: account %s, address %s", *(_short(s) for s in subjects))
            raise BadCredentials
        await self._attempts.succeeded(account)

    async def _matches(self, encoded: str | None, password: str, subjects: Sequence[Subject]) -> bool:
        async def is_allowed() -> None:
            await self._attempts.check(subjects)

        await is_allowed()
        return await self._passwords.matches(encoded, password, before=is_allowed)


def _short(subject: Subject) -> str:
    """Enough to see which lines belong together; it names nobody."""
    return subject.digest[:8]
