"""Customers of a running shop, made without a log-in each: recorded as the shop records them, tokens signed.

A log-in costs what a password hash costs, on purpose; what is measured here comes after it.
"""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

from adapters.ids import utc_now
from adapters.paseto_tokens import Tokens
from adapters.personal_data import seal_of
from adapters.settings import Settings
from adapters.token_key_file import token_key
from adapters.wiring_users import People, open_ledger, open_people
from benchmarks.stocked import all_done, batches, stock_up
from domain import streams
from domain.services import GOODS, INVENTORY, USER
from domain.session import OpenSession
from domain.user import RegisterUser, Role

FIRST_USER: Final = 1_000_000
"""Beyond those that the shop itself has made."""

SESSION_LASTS: Final = timedelta(hours=1)


async def open_customers(settings: Settings, customers: int) -> list[str]:
    """Goods on the shelf, and an access token of each new customer."""
    async with AsyncExitStack() as stack:
        shelf, stocks = (open_ledger(settings, stack, service) for service in (GOODS, INVENTORY))
        await stock_up(shelf, stocks)
        users = open_ledger(settings, stack, USER)
        people = await open_people(settings, stack, users)
        for some in batches(range(FIRST_USER, FIRST_USER + customers)):
            await _register(people, some)
    tokens = Tokens(token_key(settings), environment=settings.environment, clock=utc_now)
    return [
        tokens.mint(user_id=user_id, role=Role.CUSTOMER, session_id=_session(user_id)).token
        for user_id in range(FIRST_USER, FIRST_USER + customers)
    ]


async def _register(people: People, user_ids: Sequence[int]) -> None:
    keys = await asyncio.gather(*(people.personal.make_key(user_id) for user_id in user_ids))
    commands: list[RegisterUser | OpenSession] = []
    for user_id, key in zip(user_ids, keys, strict=True):
        sealed = {
            field: seal_of(key, user_id, field, text)
            for field, text in {
                "email": f"{user_id}@example.com",
                "nickname": "Ann",
                "password_hash": "none",
            }.items()
        }
        commands += [
            RegisterUser(
                user_id=user_id,
                email=sealed["email"],
                email_digest=f"{user_id:032x}",
                nickname=sealed["nickname"],
                gender=None,
                role=Role.CUSTOMER,
                password_hash=sealed["password_hash"],
            ),
            OpenSession(
                _session(user_id), user_id, sealed["password_hash"], "none", utc_now() + SESSION_LASTS
            ),
        ]
    await all_done(people.users, commands)


def _session(user_id: int) -> str:
    return f"{streams.user(user_id)}.bench"
