"""Customers of a running shop, made without a log-in each: recorded as the shop records them, tokens signed.

A log-in costs what a password hash costs, on purpose; what is measured here comes after it.
"""

import asyncio
from collections.abc import Iterator, Sequence
from contextlib import AsyncExitStack
from datetime import timedelta
from typing import Final

from adapters.ids import utc_now
from adapters.ledger_codec import CODEC
from adapters.paseto_tokens import Tokens
from adapters.personal_data import seal_of
from adapters.postgres_log import PostgresLog
from adapters.settings import Settings
from adapters.token_key_file import token_key
from adapters.wiring_users import People, open_people
from domain import streams
from domain.goods import CreateGoods
from domain.recorded import Cause
from domain.service import Service
from domain.services import GOODS, INVENTORY, USER
from domain.session import OpenSession
from domain.stock import SetInv, SetInvMany
from domain.user import RegisterUser, Role
from orchestrator.ledger import Ledger

FIRST_USER: Final = 1_000_000
"""Beyond those that the shop itself has made."""

AT_ONCE: Final = 500
SESSION_LASTS: Final = timedelta(hours=1)
CALLER: Final = "bench"


async def open_customers(settings: Settings, customers: int, goods: int, stock: int) -> list[str]:
    """Goods 1 to `goods` on the shelf, and an access token of each new customer."""
    async with AsyncExitStack() as stack:
        await _stock_up(settings, stack, goods, stock)
        users = _ledger(settings, stack, USER)
        people = await open_people(settings, stack, users)
        for some in _some(range(FIRST_USER, FIRST_USER + customers)):
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
    await _all_done(people.users, commands)


async def _stock_up(settings: Settings, stack: AsyncExitStack, goods: int, stock: int) -> None:
    shelf, stocks = _ledger(settings, stack, GOODS), _ledger(settings, stack, INVENTORY)
    for some in _some(range(1, goods + 1)):
        await _all_done(shelf, [CreateGoods(each, f"goods {each}", 1_000) for each in some])
        items = tuple(SetInv(each, stock, goods_exist=True) for each in some)
        await _all_done(stocks, [SetInvMany(items)])


async def _all_done(ledger: Ledger, commands: Sequence[object]) -> None:
    now = utc_now()
    causes = [(command, Cause(f"bench-{id(command)}", CALLER, "", now)) for command in commands]
    for answer in await ledger.submit_all(causes):
        if isinstance(answer, Exception):
            raise answer


def _ledger(settings: Settings, stack: AsyncExitStack, service: Service) -> Ledger:
    dsn = settings.dsn(service.log)  # type: ignore[arg-type]
    assert dsn is not None
    log = PostgresLog(dsn, service.log)
    ledger = Ledger(service, log, CODEC)
    stack.callback(log.close)
    stack.push_async_callback(ledger.close)
    return ledger


def _session(user_id: int) -> str:
    return f"{streams.user(user_id)}.bench"


def _some(numbers: range) -> Iterator[range]:
    for first in range(numbers.start, numbers.stop, AT_ONCE):
        yield range(first, min(first + AT_ONCE, numbers.stop))
