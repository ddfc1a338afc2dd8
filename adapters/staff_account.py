"""The first staff account: made with the logs, so that somebody can open the shop."""

import os
import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from adapters.ids import SequenceIds
from adapters.private_file import MODE
from adapters.settings import Settings
from adapters.user_desk import Registration
from adapters.wiring import CannotStart
from adapters.wiring_users import open_ledger, open_people
from domain.refusals import EmailTaken
from domain.services import USER
from domain.user import Role

DEFAULT_EMAIL: Final = "staff@tillroll.example"
PASSWORD_FILE: Final = "staff-password"  # noqa: S105 - a name, not a password

EMAIL_FILE: Final = "staff-email"


@dataclass(frozen=True, slots=True)
class StaffAccount:
    """`password` is None when it was chosen elsewhere and is not known here."""

    email: str
    password: str | None = field(repr=False)
    is_new: bool


def known_staff(settings: Settings) -> StaffAccount:
    """The account that settings, or the file of an earlier start, tell of. Makes nothing."""
    email = settings.staff_email or _remembered(settings.data / EMAIL_FILE) or DEFAULT_EMAIL
    return StaffAccount(email, settings.staff_password or _remembered(_file(settings)), is_new=False)


async def ensure_staff(settings: Settings) -> StaffAccount:
    """Makes the staff account unless its address is registered.

    A password that no setting gives is made up and kept in the data folder for the tools of this
    machine. Raises CannotStart, KeyFileError, psycopg.Error.
    """
    known = known_staff(settings)
    password = known.password or secrets.token_urlsafe(18)
    try:
        await register(settings, email=known.email, password=password, role=Role.STAFF)
    except EmailTaken:
        return known
    _remember(settings.data / EMAIL_FILE, known.email)
    if settings.staff_password is None:
        _remember(_file(settings), password)
    return StaffAccount(known.email, password, is_new=True)


async def register(settings: Settings, *, email: str, password: str, role: Role) -> int:
    """Records a user straight into the user log and returns the id.

    Raises EmailTaken, CannotStart for a bad address, KeyFileError, psycopg.Error.
    """
    async with AsyncExitStack() as stack:
        people = await open_people(settings, stack, open_ledger(settings, stack, USER))
        user_id = await SequenceIds(people.pool, USER.log).new()
        nickname = email.partition("@")[0][:64]
        new = Registration(user_id, email, password, nickname, role=role)
        try:
            await people.desk.register(new)
        except ValueError as error:
            raise CannotStart(f"{email}: {error}") from error
        return user_id


def _file(settings: Settings) -> Path:
    return settings.data / PASSWORD_FILE


def _remembered(path: Path) -> str | None:
    try:
        return path.read_text("utf-8").strip() or None
    except OSError:
        return None


def _remember(path: Path, password: str) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    with open(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, MODE), "w") as file:
        file.write(password + "\n")
