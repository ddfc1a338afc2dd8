"""The read side's sessions, its named queries, and its tables, which can be made in any schema."""

import re
from collections.abc import Iterable, Mapping
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


def create_read_tables(
    dsn: str, schema: str = "read", projections: Iterable[Projection] = PROJECTIONS
) -> None:
    """Make the tables and positions of these projections; what is there stays as it is."""
    wanted = tuple(projections)
    names = ["position", *(table.name for projection in wanted for table in projection.tables)]
    with psycopg.connect(session(dsn)) as connection:
        # Two that make the same table at the same moment get an error in spite of IF NOT EXISTS.
        connection.execute("SELECT pg_advisory_xact_lock(hashtext(%s))", [f"tillroll read tables {schema}"])
        for name in names:
            connection.execute(SQL(_sections()[name]).format(schema=Identifier(schema)))
        for projection in wanted:
            place = {"log": projection.log, "projection": projection.name}
            connection.execute(statement("add_position", schema), place)


@cache
def _sections() -> Mapping[str, str]:
    text = files("adapters").joinpath("sql", "read_schema.sql").read_text(encoding="utf-8")
    parts = re.split(r"^-- section: (\w+)$", text, flags=re.MULTILINE)
    return dict(zip(parts[1::2], parts[2::2], strict=True))
