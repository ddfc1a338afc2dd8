"""Checking a password: against guessing by account and by address, and alike for those whom nobody knows."""

import logging
from dataclasses import dataclass

from adapters.argon2_passwords import Passwords
from adapters.user_attempts import AttemptLimits, Subject, address_digest
from domain.refusals import Refusal

logger = logging.getLogger(__name__)


class BadCredentials(Refusal):
    """The email address, the password or the token is wrong."""

    name = "bad-credentials"


@dataclass(frozen=True, slots=True)
class Guess:
    """A password that somebody says is theirs.

    `account`: keyed hash of the email address. `host`: the address of the caller.
    """

    account: str
    host: str
    password: str


class PasswordCheck:
    """`key`: the hash key of addresses, which are not kept in the clear."""

    def __init__(self, passwords: Passwords, attempts: AttemptLimits, key: bytes) -> None:
        self._passwords = passwords
        self._attempts = attempts
        self._key = key

    async def hash(self, password: str) -> str:
        """Raises Overloaded."""
        return await self._passwords.hash(password)

    async def must_match(self, encoded: str | None, guess: Guess) -> None:
        """`encoded`: the argon2id string, None when there is no such user, which takes as long.

        Guesses sent at once count one by one, because limits are looked at when a guess's turn comes.
        Raises BadCredentials, TooManyAttempts, Overloaded.
        """
        account = Subject("account", guess.account)
        subjects = (account, Subject("address", address_digest(guess.host, self._key)))

        async def is_allowed() -> None:
            await self._attempts.check(subjects)

        if not await self._passwords.matches(encoded, guess.password, before=is_allowed):
            await self._attempts.failed(subjects)
            logger.warning("a password was wrong: account %s, address %s", *(_short(s) for s in subjects))
            raise BadCredentials
        await self._attempts.succeeded(account)


def _short(subject: Subject) -> str:
    """Enough to see which lines belong together; it names nobody."""
    return subject.digest[:8]
