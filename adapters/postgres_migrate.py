"""Makes the logs' schemas and tables. Safe to run twice, and beside running processes."""

from collections.abc import Iterator
from contextlib import contextmanager
from importlib.resources import files
from typing import Any, Final

import psycopg
from eventsourcing.persistence import PersistenceError
from psycopg import sql

from adapters.postgres_due import SCHEMA as DUE_SCHEMA
from adapters.postgres_log import LogDatastore
from adapters.postgres_parked import PARKING_LOGS
from adapters.postgres_read_schema import create_read_tables
from adapters.postgres_recorder import LogRecorder
from adapters.settings import Settings
from projections.order_saga import ORDER_SAGA

LOGS: Final = ("user", "goods", "inventory", "order")

USER_LOG: Final = "user"
"""Beside it are persons' keys and failed log-ins."""

MIGRATION_LOCK: Final = 7_203_115_500_914_226
"""Advisory lock that lets one migration at a time run in a database."""


def migrate_log(dsn: str, log: str) -> None:
    """The schema, the library's events table, and what our log has besides. Raises psycopg.Error."""
    with psycopg.connect(dsn, autocommit=True) as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(log)))
        for statement in _events_table(dsn, log):
            conn.execute(statement)
        conn.execute(_schema("log", log))
        if log in PARKING_LOGS:
            conn.execute(_schema("parked", log))
        if log == USER_LOG:
            conn.execute(_schema("attempts", log))
            conn.execute(_schema("personal", log))
        if log in ("user", "goods"):
            conn.execute(sql.SQL("CREATE SEQUENCE IF NOT EXISTS {}.ids").format(sql.Identifier(log)))


def _events_table(dsn: str, log: str) -> list[sql.Composed]:
    """As the library's recorder makes it, so that a plain Application finds what it expects."""
    datastore = LogDatastore(dsn, log)
    try:
        return LogRecorder(datastore).sql_create_statements
    finally:
        datastore.close()


def _schema(name: str, log: str) -> sql.Composed:
    text = files("adapters").joinpath(f"sql/{name}_schema.sql").read_text()
    return sql.SQL(text).format(schema=sql.Identifier(log))


def migrate(settings: Settings) -> None:
    """Every log, the read models, and the orchestrator's list of sagas. Raises psycopg.Error, NoDatabase."""
    for log in LOGS:
        with _named(log):
            migrate_log(_dsn(settings, log), log)
    with _named("read"):
        create_read_tables(_dsn(settings, "read"))
    with _named("order"):
        create_read_tables(_dsn(settings, "order"), DUE_SCHEMA, (ORDER_SAGA,))


class NoDatabase(Exception):
    """No setting names a database for a service, or it cannot be used."""


@contextmanager
def _named(service: str) -> Iterator[None]:
    """A database that cannot be used is named by its setting. Raises NoDatabase."""
    try:
        yield
    except (psycopg.OperationalError, PersistenceError) as error:
        why = " ".join(str(error).split())[:300]
        raise NoDatabase(f"TILLROLL_DSN or TILLROLL_{service.upper()}_DSN: {why}") from error


def _dsn(settings: Settings, service: Any) -> str:
    dsn = settings.dsn(service)
    if dsn is None:
        raise NoDatabase(f"no database for {service}: set TILLROLL_DSN, or TILLROLL_{service.upper()}_DSN")
    return dsn
