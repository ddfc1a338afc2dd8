"""What the user service is made of, for the api role and for the command line."""

import asyncio
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final

from psycopg_pool import AsyncConnectionPool

from adapters.argon2_passwords import Passwords
from adapters.erasure import Eraser, EraserParts
from adapters.grounds import dsn_for
from adapters.ids import new_command_id, utc_now
from adapters.key_errors import KeyFileError
from adapters.ledger_codec import CODEC
from adapters.paseto_tokens import Tokens
from adapters.password_blocklist import refused_passwords
from adapters.personal_data import PersonalData
from adapters.pii_key_file import pii_key_path, pii_keys
from adapters.postgres_attempts import PostgresAttempts
from adapters.postgres_log import PostgresLog
from adapters.postgres_log_reader import LogReader
from adapters.postgres_personal_keys import PostgresPersonalKeys
from adapters.postgres_queries import Queries, read_pool
from adapters.sealing import CannotUnseal, Wrapping
from adapters.settings import Settings
from adapters.staff_files import forget_staff
from adapters.user_desk import DeskTerms, UserDesk
from adapters.user_passwords import PasswordCheck
from adapters.user_sessions import SessionParts, Sessions
from domain import streams
from domain.service import Service
from domain.services import ORDER, USER
from orchestrator.ledger import Ledger

USER_CONNECTIONS: Final = 4
"""Look-ups of keys, attempts and ids under way at once in one process."""


@dataclass(frozen=True, slots=True)
class People:
    """The user service of one process. `pool`: to the database of the user log."""

    users: Ledger
    pool: AsyncConnectionPool[Any]
    keys: PostgresPersonalKeys
    personal: PersonalData
    passwords: PasswordCheck
    terms: DeskTerms
    desk: UserDesk


async def open_people(settings: Settings, stack: AsyncExitStack, users: Ledger) -> People:
    """Raises KeyFileError, CannotStart."""
    pool = read_pool(dsn_of(settings, USER), max_size=USER_CONNECTIONS)
    await pool.open()
    stack.push_async_callback(pool.close)
    known = pii_keys(settings)
    keys = PostgresPersonalKeys(pool)
    wrapping = Wrapping(known.wrapping, lambda: pii_keys(settings).wrapping)
    await _must_fit(keys, wrapping, pii_key_path(settings))
    personal = PersonalData(keys, wrapping)
    passwords = Passwords()
    stack.callback(passwords.close)
    refused = refused_passwords(settings.password_blocklist)
    check = PasswordCheck(passwords, PostgresAttempts(pool, utc_now), known.email, refused)
    terms = DeskTerms(known.email, utc_now, new_command_id, partial(forget_staff, settings.data))
    desk = UserDesk(users, personal, check, terms)
    return People(users, pool, keys, personal, check, terms, desk)


async def _must_fit(keys: PostgresPersonalKeys, wrapping: Wrapping, path: Path) -> None:
    """A key file of another shop should be heard of at start. Raises KeyFileError."""
    newest = await keys.newest()
    if newest is not None:
        user_id, wrapped = newest
        try:
            wrapping.unwrap(streams.user(user_id), wrapped)
        except CannotUnseal as error:
            raise KeyFileError(f"{path} does not fit the users in the database: {error}") from error


def sessions_of(people: People, tokens: Tokens) -> Sessions:
    return Sessions(SessionParts(people.users, people.personal, people.passwords, tokens, people.terms))


def eraser_of(people: People, orders: Ledger, queries: Queries, settings: Settings) -> Eraser:
    log = LogReader(dsn_of(settings, ORDER), ORDER.log)

    async def head() -> int:
        return await asyncio.to_thread(log.last_position)

    return Eraser(
        EraserParts(
            orders=orders,
            personal=people.personal,
            store=people.keys,
            deliveries=queries,
            order_head=head,
            delivery_window_s=settings.delivery_window_s,
            clock=utc_now,
            new_command_id=new_command_id,
        )
    )


def open_ledger(settings: Settings, stack: AsyncExitStack, service: Service) -> Ledger:
    """A ledger for the length of a command. Raises CannotStart."""
    log = PostgresLog(dsn_of(settings, service), service.log)
    stack.callback(log.close)
    ledger = Ledger(service, log, CODEC, max_waiting=settings.queue_limit)
    stack.push_async_callback(ledger.close)
    return ledger


def dsn_of(settings: Settings, service: Service) -> str:
    """Raises CannotStart."""
    return dsn_for(settings, service.log)
