"""The api role: the HTTP application and what it is made of."""

import asyncio
import logging
import socket
from collections.abc import Awaitable, Callable, Mapping
from functools import partial
from typing import Any, Final

import psycopg
from eventsourcing.persistence import Notification, PersistenceError
from psycopg_pool import AsyncConnectionPool

from adapters.argon2_passwords import Passwords
from adapters.cli_replay import timeline_of
from adapters.event_codec import decode
from adapters.http_app import create_app
from adapters.http_parts import HttpParts
from adapters.http_server import serve_http
from adapters.ids import SequenceIds, new_command_id, utc_now
from adapters.key_files import email_key, token_key
from adapters.paseto_tokens import Tokens
from adapters.postgres_log import LogDatastore
from adapters.postgres_queries import Queries
from adapters.postgres_recorder import LogRecorder
from adapters.user_desk import DeskTerms, UserDesk
from adapters.wiring import Plant
from domain.services import GOODS, INVENTORY, SERVICES, USER

logger = logging.getLogger(__name__)

READ_CONNECTIONS: Final = 8
"""Queries of read models under way at once in one process."""

FOLLOW_EVERY_S: Final = 0.5
"""How often the user log is looked at for sessions that another process ended."""

FOLLOW_BATCH: Final = 1_000

Probe = Callable[[], Awaitable[str]]


async def add_api(plant: Plant, sock: socket.socket) -> None:
    """Raises KeyFileError."""
    settings = plant.settings
    pool = await _open_pool(plant, "read")
    tokens = Tokens(token_key(settings), environment=settings.environment, clock=utc_now)
    passwords = Passwords()
    plant.stack.callback(passwords.close)
    terms = DeskTerms(email_key(settings), utc_now, new_command_id)
    desk = UserDesk(plant.ledger(USER), tokens, passwords, terms)
    queries = Queries(pool)
    parts = HttpParts(
        users=plant.ledger(USER),
        goods=plant.ledger(GOODS),
        inventory=plant.ledger(INVENTORY),
        orders=plant.order_ledger(),
        checkout=plant.checkout(),
        queries=queries,
        desk=desk,
        tokens=tokens,
        new_user_id=SequenceIds(await _open_pool(plant, USER.log), USER.log).new,
        new_goods_id=SequenceIds(await _open_pool(plant, GOODS.log), GOODS.log).new,
        clock=utc_now,
        new_command_id=new_command_id,
        readiness=Readiness(plant, pool, queries).look,
        timeline=partial(timeline_of, {service.log: plant.dsn(service.log) for service in SERVICES}),
    )
    plant.tasks.append(follow_users(plant.dsn(USER.log), desk))
    plant.tasks.append(serve_http(create_app(parts), sock))


async def _open_pool(plant: Plant, service: Any) -> AsyncConnectionPool[Any]:
    """The read models get a pool of several connections, id sequences one each."""
    size = READ_CONNECTIONS if service == "read" else 1
    pool: AsyncConnectionPool[Any] = AsyncConnectionPool(
        plant.dsn(service),
        min_size=1,
        max_size=size,
        open=False,
        timeout=5.0,
        check=AsyncConnectionPool.check_connection if size == 1 else None,
        kwargs={"autocommit": True, "connect_timeout": 5, "options": "-c statement_timeout=5s"},
    )
    await pool.open()
    plant.stack.push_async_callback(pool.close)
    return pool


async def follow_users(dsn: str, desk: UserDesk) -> None:
    """Tells the desk what other processes record of users and sessions, from now on."""
    recorder = LogRecorder(LogDatastore(dsn, USER.log))
    position: int | None = None
    while True:
        try:
            if position is None:
                position = await asyncio.to_thread(recorder.max_notification_id) or 0
            news = await asyncio.to_thread(_after, recorder, position)
        except PersistenceError as error:
            logger.warning("the user log cannot be followed: %s", str(error).partition("\n")[0])
            news = []
        for notification in news:
            desk.learn(decode(notification))
            position = notification.id
        if len(news) < FOLLOW_BATCH:
            await asyncio.sleep(FOLLOW_EVERY_S)


def _after(recorder: LogRecorder, position: int) -> list[Notification]:
    return list(recorder.select_notifications(position, FOLLOW_BATCH, inclusive_of_start=False))


class Readiness:
    """What /readyz says: the broker, the read models and every log, each by its name."""

    def __init__(self, plant: Plant, pool: AsyncConnectionPool[Any], queries: Queries) -> None:
        self._plant = plant
        self._pool = pool
        self._queries = queries

    async def look(self) -> Mapping[str, str]:
        probes: dict[str, Probe] = {"broker": self._broker, "read-models": self._read_models}
        for service in SERVICES:
            probes[f"{service.log}-log"] = partial(self._log, service.log)
        answers = await asyncio.gather(*(probe() for probe in probes.values()))
        return dict(zip(probes, answers, strict=True))

    async def _broker(self) -> str:
        return "ok" if self._plant.broker.is_connected else "not connected"

    async def _log(self, log: str) -> str:
        """Asks the log's own database; a thread each, because the library's recorder blocks."""
        return await asyncio.to_thread(_answers, self._plant.dsn(log))

    async def _read_models(self) -> str:
        try:
            async with self._pool.connection(timeout=2.0) as conn:
                rows = await (await conn.execute(STOPPED)).fetchall()
        except (psycopg.Error, OSError) as error:
            return str(error).partition("\n")[0] or "no answer"
        return "; ".join(f"projection {name} has stopped: {error}" for name, error in rows) or "ok"


STOPPED: Final = "SELECT projection, last_error FROM read.position WHERE last_error IS NOT NULL"


def _answers(dsn: str) -> str:
    try:
        with psycopg.connect(dsn, connect_timeout=2, autocommit=True) as conn:
            conn.execute("SELECT 1")
    except psycopg.Error as error:
        return str(error).partition("\n")[0]
    return "ok"
