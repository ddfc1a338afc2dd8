"""Sets of read models: the one that is read, the one that is built beside it, and the one before.

A set is a schema with all tables of `projections.PROJECTIONS` and a table `position`. Their names never
change, so every query works on every set; what changes is which schema a table is in.
"""

import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Composed, Identifier

from adapters.postgres_read_schema import create_read_tables, session, tables_of
from projections import PROJECTIONS

LIVE: Final = "read"
NEXT: Final = "read_next"
BEFORE: Final = "read_before"

TABLES: Final = tuple(table.name for projection in PROJECTIONS for table in projection.tables)

LONG: Final = "-c statement_timeout=0 -c lock_timeout=30s -c idle_in_transaction_session_timeout=0"
"""For work on whole tables that nobody else uses."""

GONE_WITHIN_S: Final = 3.0
"""PostgreSQL takes a moment to notice that whoever held the lock has ended, or was killed."""

LEAVING: Final = "read_leaving"
"""Where the live tables are for a moment within a swap."""

_ONE_REBUILD: Final = 7_203_115_500_914_227
"""Advisory lock that lets one rebuild at a time run in a database."""


class CannotRebuild(Exception):
    """Read models could not be rebuilt, compared or swapped; the text says why, in one line."""


@cache
def named(name: str) -> SQL:
    """The text of `sql/sets/<name>.sql`."""
    return SQL(files("adapters").joinpath("sql", "sets", f"{name}.sql").read_text(encoding="utf-8"))


@contextmanager
def one_at_a_time(dsn: str) -> Iterator[None]:
    """For as long as a rebuild takes. Raises CannotRebuild while another one is under way."""
    patient = session(dsn, "-c idle_session_timeout=0")
    with psycopg.connect(patient, autocommit=True, application_name="tillroll rebuild") as connection:
        ends_at = time.monotonic() + GONE_WITHIN_S
        while not _one(connection, "SELECT pg_try_advisory_lock(%s)", [_ONE_REBUILD])[0]:
            if time.monotonic() > ends_at:
                raise CannotRebuild("another rebuild is under way in this database")
            time.sleep(0.05)
        yield


def check_live(dsn: str) -> None:
    """What would stop a swap is better heard of before the work than after it. Raises CannotRebuild."""
    names = {"schema": LIVE, "tables": [*TABLES, "position"]}
    with psycopg.connect(session(dsn), autocommit=True) as connection:
        found = tables_of(connection, LIVE)
        if "position" not in found or not set(TABLES) & set(found):
            raise CannotRebuild(f"there are no read models in schema {LIVE}; run `tillroll migrate` first")
        if exists(dsn, LEAVING):
            raise CannotRebuild(f"schema {LEAVING} is in the way; a swap needs the name for a moment")
        foreign = connection.execute(named("not_owned"), names).fetchall()
        if foreign:
            raise CannotRebuild(
                f"this role does not own {foreign[0][0]}, so it cannot make read models again;"
                " `tillroll audit` compares them with SELECT alone"
            )
        check_no_views(connection)


def check_no_views(connection: psycopg.Connection) -> None:
    """Raises CannotRebuild when views would go on showing a set that is live no more."""
    views = connection.execute(named("views"), {"schema": LIVE, "tables": list(TABLES)}).fetchall()
    if views:
        those = ", ".join(name for (name,) in views)
        raise CannotRebuild(
            f"views would go on showing the old set: {those}; drop them, and make them again after the swap"
        )


def check_new(dsn: str, schema: str) -> None:
    """Raises CannotRebuild for a schema that is there, or whose name would have to be quoted."""
    with psycopg.connect(session(dsn), autocommit=True) as connection:
        (quoted,) = _one(connection, "SELECT quote_ident(%s)", [schema])
    if quoted != schema:
        raise CannotRebuild(f"{schema} is a word of SQL; name the schema otherwise")
    if exists(dsn, schema):
        raise CannotRebuild(f"schema {schema} exists; drop it first, or name another one")


def exists(dsn: str, schema: str) -> bool:
    with psycopg.connect(session(dsn), autocommit=True) as connection:
        return bool(_one(connection, "SELECT to_regnamespace(quote_ident(%s)) IS NOT NULL", [schema])[0])


def create_set(dsn: str, schema: str) -> Sequence[tuple[str, str]]:
    """Empty tables, without the indexes that are quicker made at the end; returns those, for `finish_set`."""
    create_read_tables(dsn, schema)
    with psycopg.connect(session(dsn, LONG), autocommit=True) as connection:
        indexes = connection.execute(named("indexes"), {"schema": schema}).fetchall()
        for name, _ in indexes:
            connection.execute(SQL("DROP INDEX ") + _verbatim(name))
        return indexes


def finish_set(dsn: str, schema: str, indexes: Sequence[tuple[str, str]]) -> None:
    """Indexes, and statistics for the planner."""
    with psycopg.connect(session(dsn, LONG), autocommit=True) as connection:
        for _, statement in indexes:
            connection.execute(_verbatim(statement))
        connection.execute(SQL("ANALYZE {}").format(qualified(schema)))


def give_rights(connection: psycopg.Connection, schema: str) -> None:
    """The set's tables get the owners of the live ones, and the rights on them, no more and no less."""
    names = {"schema": schema, "live": LIVE, "tables": list(TABLES)}
    for (statement,) in connection.execute(named("rights"), names).fetchall():
        connection.execute(_verbatim(statement))


def drop_set(dsn: str, schema: str) -> None:
    """Drop a schema with its tables, and nothing that depends on them. Raises CannotRebuild."""
    with psycopg.connect(session(dsn, LONG)) as connection:
        drop_tables(connection, schema)


def drop_tables(connection: psycopg.Connection, schema: str) -> None:
    """The same within a transaction. Raises CannotRebuild for what is not ours, too."""
    found = tables_of(connection, schema)
    foreign = sorted(set(found) - {*TABLES, "position"})
    if foreign:
        raise CannotRebuild(
            f"schema {schema} holds {foreign[0]}, which is no table of ours; move it elsewhere"
        )
    try:
        if found:
            connection.execute(SQL("DROP TABLE {}").format(qualified(schema, found)))
        connection.execute(SQL("DROP SCHEMA IF EXISTS {}").format(Identifier(schema)))
    except psycopg.errors.DependentObjectsStillExist as error:
        detail = (error.diag.message_detail or str(error)).partition("\n")[0]
        raise CannotRebuild(f"the old set {schema} cannot be dropped: {detail}") from error


def positions_of(connection: psycopg.Connection, schema: str) -> dict[str, int]:
    """Where each projection of a set stands, by its name."""
    query = SQL("SELECT projection, position FROM {}").format(Identifier(schema, "position"))
    return dict(connection.execute(query).fetchall())


def qualified(schema: str, tables: Sequence[str] = TABLES) -> Composed:
    return SQL(", ").join(Identifier(schema, name) for name in tables)


def _verbatim(statement: str) -> SQL:
    """What PostgreSQL itself has written."""
    return SQL(statement)


def _one(connection: psycopg.Connection, query: str, params: Sequence[Any] | Mapping[str, Any]) -> Any:
    row = connection.execute(query, params).fetchone()
    assert row is not None
    return row
