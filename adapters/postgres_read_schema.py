"""The read side's sessions, its named queries, and its tables, which can be made in any schema."""

import re
from collections.abc import Iterable, Mapping, Sequence
from contextlib import suppress
from functools import cache
from importlib.resources import files
from typing import Any, Final

import psycopg
from psycopg.conninfo import conninfo_to_dict, make_conninfo
from psycopg.sql import SQL, Identifier

from projections import PROJECTIONS
from projections.projection import Projection

_OPTIONS: Final = (
    "-c statement_timeout=5s -c lock_timeout=2s -c idle_in_transaction_session_timeout=5s -c timezone=UTC"
)
TRIES: Final = 5
"""How often tables are made anew when a lock that is needed is not to be had for 2 s."""

_KEEPALIVES: Final[Mapping[str, Any]] = {
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 3,
    "tcp_user_timeout": 15_000,
    "connect_timeout": 5,
}


def session(dsn: str, options: str = "") -> str:
    """The address with our timeouts (5 s a statement, 2 s a lock), UTC, and `options` in libpq's form."""
    given = conninfo_to_dict(dsn)
    options = f"{_OPTIONS} {options} {given.pop('options', None) or ''}".strip()
    return make_conninfo("", **{**_KEEPALIVES, **given, "options": options})


@cache
def query(name: str) -> str:
    """The text of `sql/queries/<name>.sql`."""
    return files("adapters").joinpath("sql", "queries", f"{name}.sql").read_text(encoding="utf-8")


@cache
def statement(name: str, schema: str) -> bytes:
    """A named query on the tables of `schema`, put together once: psycopg knows bytes again."""
    return SQL(query(name)).format(schema=Identifier(schema)).as_bytes()


def tables_of(connection: psycopg.Connection, schema: str) -> list[str]:
    """The names of all tables of a schema, whoever made them; none while there is no such schema."""
    return [name for (name,) in connection.execute(query("tables"), {"schema": schema}).fetchall()]


def create_read_tables(
    dsn: str,
    schema: str = "read",
    projections: Iterable[Projection] = PROJECTIONS,
    *,
    begins_anew: bool = False,
) -> None:
    """Make the tables and positions of these projections; what is there stays as it is.

    So do tables that another version of a projection made: only a rebuild replaces those. With `begins_anew`
    they are made anew instead, empty, for a schema whose readers can do without some rows for a while. Raises
    psycopg.errors.LockNotAvailable when projectors at work leave no gap for a new column.
    """
    wanted = tuple(projections)
    for _ in range(TRIES - 1):
        # Whoever waits longer for a lock than 2 s stops all readers for as long.
        with suppress(psycopg.errors.LockNotAvailable):
            _create(dsn, schema, wanted, begins_anew)
            return
    _create(dsn, schema, wanted, begins_anew)


def _create(dsn: str, schema: str, wanted: Sequence[Projection], begins_anew: bool) -> None:
    with psycopg.connect(session(dsn)) as connection:
        # Two that make the same table at the same moment get an error in spite of IF NOT EXISTS.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"tillroll read tables {schema}"])
        _create_section(connection, schema, "position")
        _add_missing_column(connection, schema)
        for projection in wanted:
            is_another = _noted_shape(connection, schema, projection) != projection.shape
            if is_another and begins_anew:
                _drop(connection, schema, projection)
            if begins_anew or not is_another:
                for table in projection.tables:
                    _create_section(connection, schema, table.name)


def _drop(connection: psycopg.Connection, schema: str, projection: Projection) -> None:
    """Waits for whoever holds the position, so that nobody goes on writing."""
    noted = {"log": projection.log, "projection": projection.name, "shape": projection.shape}
    connection.execute(statement("begin_anew", schema), noted)
    for table in projection.tables:
        connection.execute(SQL("DROP TABLE IF EXISTS {}").format(Identifier(schema, table.name)))


def _create_section(connection: psycopg.Connection, schema: str, name: str) -> None:
    """Looks first: CREATE INDEX takes its lock also where there is nothing to do."""
    section = _sections()[name]
    wanted = {name, *_INDEX.findall(section)}
    found = connection.execute(query("relations"), {"schema": schema}).fetchall()
    if not wanted <= {relation for (relation,) in found}:
        connection.execute(SQL(section).format(schema=Identifier(schema)))


def _add_missing_column(connection: psycopg.Connection, schema: str) -> None:
    """A table of positions from before shapes were noted gets room for them."""
    table = Identifier(schema, "position").as_string()
    row = connection.execute(query("has_shape"), {"table": table}).fetchone()
    if row is not None and not row[0]:
        connection.execute(statement("add_shape", schema))


def _noted_shape(connection: psycopg.Connection, schema: str, projection: Projection) -> str:
    """What stands beside the position, which is made where there is none yet."""
    noted = {"log": projection.log, "projection": projection.name, "shape": projection.shape}
    connection.execute(statement("add_position", schema), noted)
    connection.execute(statement("note_shape", schema), noted)
    row = connection.execute(statement("read_position", schema), noted).fetchone()
    assert row is not None
    return str(row[1])


_INDEX: Final = re.compile(r"^CREATE INDEX IF NOT EXISTS (\w+)", re.MULTILINE)


@cache
def _sections() -> Mapping[str, str]:
    text = files("adapters").joinpath("sql", "read_schema.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- section: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
