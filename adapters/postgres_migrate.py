"""Makes the logs' schemas and tables. Safe to run twice, and beside running processes."""

from importlib.resources import files
from typing import Final

import psycopg
from psycopg import sql

from adapters.postgres_log import LogDatastore
from adapters.postgres_recorder import LogRecorder

LOGS: Final = ("user", "goods", "inventory", "order")

MIGRATION_LOCK: Final = 7_203_115_500_914_226
"""Advisory lock that lets one migration at a time run in a database."""


def migrate_log(dsn: str, log: str) -> None:
    """The schema, the library's events table, and what our log has besides. Raises psycopg.Error."""
    with psycopg.connect(dsn, autocommit=True) as conn, conn.transaction():
        conn.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
        conn.execute(sql.SQL("CREATE SCHEMA IF NOT EXISTS {}").format(sql.Identifier(log)))
        for statement in _events_table(dsn, log):
            conn.execute(statement)
        conn.execute(_log_schema(log))
        if log in ("user", "goods"):
            conn.execute(sql.SQL("CREATE SEQUENCE IF NOT EXISTS {}.ids").format(sql.Identifier(log)))


def _events_table(dsn: str, log: str) -> list[sql.Composed]:
    """As the library's recorder makes it, so that a plain Application finds what it expects."""
    datastore = LogDatastore(dsn, log)
    try:
        return LogRecorder(datastore).sql_create_statements
    finally:
        datastore.close()


def _log_schema(log: str) -> sql.Composed:
    text = files("adapters").joinpath("sql/log_schema.sql").read_text()
    return sql.SQL(text).format(schema=sql.Identifier(log))
