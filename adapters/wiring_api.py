"""The api role: the HTTP application and what it is made of."""

import asyncio
import logging
import socket
import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any, Final

import psycopg
from eventsourcing.persistence import Notification, PersistenceError
from prometheus_client import CollectorRegistry
from psycopg_pool import AsyncConnectionPool

from adapters.error_text import first_line
from adapters.event_codec import decode
from adapters.http_admission import Admission
from adapters.http_app import create_app, served
from adapters.http_metrics import AdmissionNumbers, ProjectionNumbers, SealNumbers
from adapters.http_parts import HttpParts
from adapters.http_server import serve_http
from adapters.ids import SequenceIds, new_command_id, utc_now
from adapters.nats_client import NATS_ERRORS, text_of
from adapters.open_orders import OpenOrders
from adapters.order_story import timeline_of
from adapters.paseto_tokens import Tokens
from adapters.postgres_due import SCHEMA as DUE_SCHEMA
from adapters.postgres_log import LogDatastore
from adapters.postgres_queries import Queries, read_pool
from adapters.postgres_recorder import LogRecorder
from adapters.projection_states import READ_SCHEMA, Look, kept_projections, look
from adapters.projection_watch import Lately, in_words
from adapters.saga_rows import saga_of
from adapters.seal_lag import look_at_seals
from adapters.settings import SERVICES as DATABASES
from adapters.token_key_file import token_key
from adapters.user_sessions import Sessions
from adapters.wiring import Plant
from adapters.wiring_users import eraser_of, open_people, sessions_of
from domain.services import GOODS, INVENTORY, ORDER, SERVICES, USER
from orchestrator.loops import wanted

logger = logging.getLogger(__name__)

READ_CONNECTIONS: Final = 8
"""Queries of read models under way at once in one process."""

FOLLOW_EVERY_S: Final = 0.25
"""How often the user log is looked at for what other processes ended."""

HEARD_WITHIN_S: Final = 1.0
"""What was revoked longer ago than this is known here, or tokens are looked up one by one."""

FOLLOW_BATCH: Final = 1_000

BROKER_ANSWERS_WITHIN_S: Final = 2
"""What its client takes are whole seconds."""


async def add_api(plant: Plant, sock: socket.socket) -> None:
    """Raises KeyFileError."""
    settings = plant.settings
    pool = await _opened(plant, read_pool(plant.dsn("read"), max_size=READ_CONNECTIONS))
    tokens = Tokens(token_key(settings), environment=settings.environment, clock=utc_now)
    people = await open_people(settings, plant.stack, plant.ledger(USER))
    sessions = sessions_of(people, tokens)
    queries = Queries(pool)
    eraser = eraser_of(people, plant.order_ledger(), queries, settings)
    dsns = {str(service): plant.dsn(service) for service in DATABASES}
    logs = {service.log: plant.dsn(service.log) for service in SERVICES}
    states = Lately(partial(look, kept_projections(dsns))).look
    parts = HttpParts(
        users=plant.ledger(USER),
        goods=plant.ledger(GOODS),
        inventory=plant.ledger(INVENTORY),
        orders=plant.order_ledger(),
        checkout=plant.checkout(),
        queries=queries,
        desk=people.desk,
        sessions=sessions,
        personal=people.personal,
        eraser=eraser,
        open_orders=OpenOrders(queries.open_orders, time.monotonic, settings.max_open_orders),
        tokens=tokens,
        new_user_id=SequenceIds(people.pool, USER.log).new,
        new_goods_id=SequenceIds(await _id_pool(plant, GOODS.log), GOODS.log).new,
        clock=utc_now,
        new_command_id=new_command_id,
        readiness=Readiness(plant, states).look,
        saga=partial(saga_of, plant.dsn(ORDER.log)),
        timeline=partial(timeline_of, logs),
    )
    follower = Follower(plant.dsn(USER.log), sessions)
    plant.stack.callback(follower.close)
    await follower.begin()
    sessions.hears_all = people.personal.hears_all = follower.hears_all
    plant.tasks += [follower.run(), eraser.run()]
    _serve(plant, sock, parts, _asked_for(states, logs))


def _serve(plant: Plant, sock: socket.socket, parts: HttpParts, asked_for: list[CollectorRegistry]) -> None:
    admission = Admission(plant.settings.max_requests)
    numbers = [plant.numbers.registry, AdmissionNumbers(admission).registry, *asked_for]
    app = served(create_app(parts, numbers), admission)
    plant.tasks.append(serve_http(app, sock, plant.settings.proxies))


def _asked_for(states: Callable[[], Look | None], logs: Mapping[str, str]) -> list[CollectorRegistry]:
    """The numbers that the databases are asked for, each once a second at most."""
    seals = Lately(partial(look_at_seals, logs)).look
    return [ProjectionNumbers(states).registry, SealNumbers(seals).registry]


async def _id_pool(plant: Plant, log: Any) -> AsyncConnectionPool[Any]:
    return await _opened(plant, read_pool(plant.dsn(log), max_size=1))


async def _opened(plant: Plant, pool: AsyncConnectionPool[Any]) -> AsyncConnectionPool[Any]:
    await pool.open()
    plant.stack.push_async_callback(pool.close)
    return pool


class Follower:
    """Tells what other processes record of users and sessions."""

    def __init__(self, dsn: str, sessions: Sessions) -> None:
        self._recorder = LogRecorder(LogDatastore(dsn, USER.log))
        self._sessions = sessions
        self._position = 0
        self._heard_at = 0.0

    async def begin(self) -> None:
        """From here on nothing is missed; what came before, a token's first use looks up."""
        self._heard_at = time.monotonic()
        self._position = await asyncio.to_thread(self._recorder.max_notification_id) or 0

    def hears_all(self) -> bool:
        """Whether everything recorded up to a second ago has been told."""
        return time.monotonic() - self._heard_at < HEARD_WITHIN_S

    async def run(self) -> None:
        while wanted():
            looked_at = time.monotonic()
            try:
                news = await asyncio.to_thread(self._news)
            except PersistenceError as error:
                logger.warning("the user log cannot be followed: %s", first_line(error))
                await asyncio.sleep(FOLLOW_EVERY_S)
                continue
            for notification in news:
                self._sessions.learn(decode(notification))
                self._position = notification.id
            if len(news) < FOLLOW_BATCH:
                self._heard_at = looked_at
                await asyncio.sleep(FOLLOW_EVERY_S)

    def close(self) -> None:
        self._recorder.datastore.close()

    def _news(self) -> Sequence[Notification]:
        news: Sequence[Notification] = self._recorder.select_notifications(
            self._position, FOLLOW_BATCH, inclusive_of_start=False
        )
        return news


class Readiness:
    """What /readyz says: the broker, the read models, the watchdog's list and every log, each by its name."""

    def __init__(self, plant: Plant, states: Callable[[], Look | None]) -> None:
        self._plant = plant
        self._states = states

    async def look(self) -> Mapping[str, str]:
        logs = [service.log for service in SERVICES]
        states, broker, answers = await asyncio.gather(
            asyncio.to_thread(self._states), self._broker(), asyncio.gather(*map(self._log, logs))
        )
        projections = {"read-models": READ_SCHEMA, "saga-list": DUE_SCHEMA}
        return {
            "broker": broker,
            **{part: _told(states, schema) for part, schema in projections.items()},
            **{f"{log}-log": answer for log, answer in zip(logs, answers, strict=True)},
        }

    async def _broker(self) -> str:
        """Asks it: a broker that hangs still looks connected."""
        try:
            await self._plant.broker.flush(BROKER_ANSWERS_WITHIN_S)
        except NATS_ERRORS as error:
            return f"no answer: {text_of(error)}" if self._plant.broker.is_connected else "not connected"
        return "ok"

    async def _log(self, log: str) -> str:
        """Asks the log's own database; a thread each, because the library's recorder blocks."""
        return await asyncio.to_thread(_answers, self._plant.dsn(log))


NO_ANSWER: Final = "no answer"
"""What strangers are told; the reason stands in our own log."""


def _told(states: Look | None, schema: str) -> str:
    standings = [one for one in states.standings if one.schema == schema] if states else []
    if standings:
        return in_words(standings)
    missing = "timeout" if states is None else "; ".join(states.missing)
    logger.warning("projections in schema %s do not answer: %s", schema, missing)
    return NO_ANSWER


def _answers(dsn: str) -> str:
    try:
        with psycopg.connect(dsn, connect_timeout=2, autocommit=True) as conn:
            conn.execute("SELECT 1")
    except psycopg.Error as error:
        logger.warning("a log does not answer: %s", error)
        return NO_ANSWER
    return "ok"
