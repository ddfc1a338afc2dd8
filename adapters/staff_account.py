"""The first staff account: made with the logs, so that somebody can open the shop."""

import secrets
from contextlib import AsyncExitStack
from dataclasses import dataclass, field
from typing import Final

from adapters.grounds import CannotStart
from adapters.ids import SequenceIds
from adapters.settings import Settings
from adapters.staff_files import EMAIL_FILE, PASSWORD_FILE, remember, remembered
from adapters.user_desk import Registration
from adapters.wiring_users import open_ledger, open_people
from domain.refusals import EmailTaken
from domain.services import USER
from domain.user import Role

DEFAULT_EMAIL: Final = "staff@tillroll.example"


@dataclass(frozen=True, slots=True)
class StaffAccount:
    """`password` is None when it was chosen elsewhere and is not known here."""

    email: str
    password: str | None = field(repr=False)
    is_new: bool


def known_staff(settings: Settings) -> StaffAccount:
    """The account that settings, or the file of an earlier start, tell of. Makes nothing."""
    email = settings.staff_email or remembered(settings.data / EMAIL_FILE) or DEFAULT_EMAIL
    return StaffAccount(
        email, settings.staff_password or remembered(settings.data / PASSWORD_FILE), is_new=False
    )


async def ensure_staff(settings: Settings) -> StaffAccount:
    """Makes the staff account unless its address is, or was, registered: who was erased does not come back.

    A password that no setting gives is made up and kept in the data folder for the tools of this
    machine. Raises CannotStart, KeyFileError, psycopg.Error.
    """
    known = known_staff(settings)
    password = known.password or secrets.token_urlsafe(18)
    try:
        await register(settings, email=known.email, password=password, role=Role.STAFF, again=False)
    except EmailTaken:
        return known
    remember(settings.data / EMAIL_FILE, known.email)
    if settings.staff_password is None:
        remember(settings.data / PASSWORD_FILE, password)
    return StaffAccount(known.email, password, is_new=True)


async def register(settings: Settings, *, email: str, password: str, role: Role, again: bool = True) -> int:
    """Records a user straight into the user log and returns the id.

    `again`: also under an address whose owner was erased.
    Raises EmailTaken, CannotStart for a bad address, KeyFileError, psycopg.Error.
    """
    async with AsyncExitStack() as stack:
        people = await open_people(settings, stack, open_ledger(settings, stack, USER))
        if not again and await people.desk.was_erased(email):
            raise EmailTaken
        user_id = await SequenceIds(people.pool, USER.log).new()
        nickname = email.partition("@")[0][:64]
        new = Registration(user_id, email, password, nickname, role=role)
        try:
            await people.desk.register(new)
        except ValueError as error:
            raise CannotStart(f"{email}: {error}") from error
        return user_id
