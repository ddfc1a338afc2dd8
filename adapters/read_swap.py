"""The moment a rebuilt set is compared with the live one, and the moment it takes its place.

Both begin the same way: the live set's position rows are held, so no projector moves it, and the other set is
brought to the same positions, which takes milliseconds because it was brought near before.
"""

import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import ExitStack, contextmanager
from typing import Final, Self

import psycopg
from psycopg.sql import SQL, Identifier

from adapters.postgres_projection import EventNotApplied, PostgresProjection
from adapters.postgres_read_schema import session, tables_of
from adapters.read_build import INCOMPLETE
from adapters.read_compare import Comparison, compare
from adapters.read_sets import (
    BEFORE,
    LEAVING,
    LIVE,
    TABLES,
    CannotRebuild,
    check_no_views,
    drop_tables,
    give_rights,
    named,
    positions_of,
    qualified,
)
from projections import PROJECTIONS

NEAR_EVENTS: Final = 500
"""So few events are left when the live set is held; a projector applies them in some 20 ms."""

MAX_ROUNDS: Final = 200

LOCK_WAIT_MS: Final = 100
"""A swap that waits for a reader makes the readers behind it wait too, so it soon lets them pass."""

SWAP_FOR_S: Final = 600.0
"""How long it tries: a reader of whole tables, such as the audit, can be in the way for a while."""

_PAUSES_S: Final = (0.05, 0.1, 0.2, 0.5, 1.0)

_HOLDING: Final = "-c lock_timeout=5s -c idle_in_transaction_session_timeout=3s -c transaction_timeout=10s"
"""Projectors, and in a swap readers, wait for as long as we hold what they need, also if we are stopped."""

Told = Callable[[str], None]


class CatchUp:
    """Brings a set that is not live up to the live one's positions, by the projector's own steps."""

    def __init__(self, log_dsns: Mapping[str, str], read_dsn: str, schema: str) -> None:
        self._opened = ExitStack()
        self._followers = {
            projection.name: PostgresProjection(
                projection, log_dsn=log_dsns[projection.log], read_dsn=read_dsn, schema=schema
            )
            for projection in PROJECTIONS
        }

    def __enter__(self) -> Self:
        for follower in self._followers.values():
            self._opened.enter_context(follower)
        return self

    def __exit__(self, *_: object) -> None:
        self._opened.close()

    def bring_to(self, positions: Mapping[str, int]) -> int:
        """How many events were applied. Raises CannotRebuild at one that cannot be."""
        try:
            return sum(self._bring(name, position) for name, position in positions.items())
        except EventNotApplied as error:
            raise CannotRebuild(str(error)) from error

    def bring_near(self, dsn: str) -> None:
        """Until few events are missing, however fast the live set moves on."""
        with psycopg.connect(session(dsn), autocommit=True) as connection:
            for _ in range(MAX_ROUNDS):
                if self.bring_to(positions_of(connection, LIVE)) <= NEAR_EVENTS:
                    return

    def _bring(self, name: str, position: int) -> int:
        follower = self._followers[name]
        applied = 0
        while count := follower.advance(until=position):
            applied += count
        return applied


@contextmanager
def _held(connection: psycopg.Connection) -> Iterator[dict[str, int]]:
    """The live positions, which nobody changes until the block ends. Needs no transaction to be open."""
    with connection.transaction():
        query = named("lock_positions").format(schema=Identifier(LIVE))
        rows = connection.execute(query, {"projections": [one.name for one in PROJECTIONS]}).fetchall()
        yield dict(rows)


def compare_at_one_position(dsn: str, catch_up: CatchUp, schema: str, told: Told) -> Comparison:
    """Raises CannotRebuild, psycopg.Error."""
    catch_up.bring_near(dsn)
    patient = session(dsn, "-c statement_timeout=0 -c idle_in_transaction_session_timeout=0")
    with (
        psycopg.connect(patient) as snapshot,
        psycopg.connect(session(dsn, _HOLDING), autocommit=True) as holder,
    ):
        snapshot.isolation_level = psycopg.IsolationLevel.REPEATABLE_READ
        snapshot.read_only = True
        with _held(holder) as positions:
            catch_up.bring_to(positions)
            # The first query takes the snapshot; from here on both sets may move.
            standing = positions_of(snapshot, schema)
        if standing != positions or positions_of(snapshot, LIVE) != positions:
            raise CannotRebuild(f"the sets could not be brought to one position: {positions}, {standing}")
        return compare(snapshot, schema, positions, told)


def swap(dsn: str, catch_up: CatchUp, schema: str, told: Told) -> dict[str, int]:
    """Put the set `schema` in the live one's place, which becomes `read_before`; in one transaction.

    Returns the positions it went live at. Raises CannotRebuild when it was not possible in ten minutes.
    """
    ends_at = time.monotonic() + SWAP_FOR_S
    with psycopg.connect(session(dsn, _HOLDING), autocommit=True) as connection:
        for attempt in range(1_000_000):
            catch_up.bring_near(dsn)
            try:
                return _swap_now(connection, catch_up, schema)
            except psycopg.errors.LockNotAvailable as error:
                who = _in_the_way(connection)
                if time.monotonic() > ends_at:
                    raise CannotRebuild(f"the live tables are in use{who}; nothing was swapped") from error
                told(f"waiting for readers{who}")
            time.sleep(_PAUSES_S[min(attempt, len(_PAUSES_S) - 1)])
    raise AssertionError


def _swap_now(connection: psycopg.Connection, catch_up: CatchUp, schema: str) -> dict[str, int]:
    """Raises LockNotAvailable, having changed nothing, when a reader is in the way."""
    with _held(connection) as positions:
        catch_up.bring_to(positions)
        _must_be_whole(connection, schema, positions)
        connection.execute(SQL("SET LOCAL lock_timeout = '{}ms'").format(SQL(str(LOCK_WAIT_MS))))
        live = qualified(LIVE, _tables_in(connection, LIVE))
        connection.execute(SQL("LOCK TABLE {} IN ACCESS EXCLUSIVE MODE").format(live))
        check_no_views(connection)
        give_rights(connection, schema)
        if schema != BEFORE:
            drop_tables(connection, BEFORE)
        exchange = named("exchange_positions").format(live=Identifier(LIVE), next=Identifier(schema))
        connection.execute(exchange)
        connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(LEAVING)))
        _move(connection, LIVE, LEAVING)
        _move(connection, schema, LIVE)
        _move(connection, LEAVING, schema)
        connection.execute(SQL("DROP SCHEMA {}").format(Identifier(LEAVING)))
        if schema != BEFORE:
            rename = SQL("ALTER SCHEMA {} RENAME TO {}")
            connection.execute(rename.format(Identifier(schema), Identifier(BEFORE)))
        return positions


def _move(connection: psycopg.Connection, source: str, target: str) -> None:
    for table in _tables_in(connection, source):
        statement = SQL("ALTER TABLE {} SET SCHEMA {}")
        connection.execute(statement.format(Identifier(source, table), Identifier(target)))


def _tables_in(connection: psycopg.Connection, schema: str) -> list[str]:
    """Those that belong to a set; a set of another version may have fewer than this one knows."""
    return [name for name in tables_of(connection, schema) if name in TABLES]


def _must_be_whole(connection: psycopg.Connection, schema: str, positions: Mapping[str, int]) -> None:
    """Nobody else may have begun to build it anew meanwhile. Raises CannotRebuild."""
    query = SQL("SELECT projection, position, last_error FROM {}").format(Identifier(schema, "position"))
    standing = connection.execute(query).fetchall()
    incomplete = any(error == INCOMPLETE for _, _, error in standing)
    reached = {name: position for name, position, _ in standing if name in positions}
    if incomplete or reached != positions:
        raise CannotRebuild(f"the set in {schema} is not whole; nothing was swapped")


def _in_the_way(connection: psycopg.Connection) -> str:
    names = {"schema": LIVE, "tables": list(TABLES)}
    found = connection.execute(named("in_the_way"), names).fetchall()
    those = [f"process {pid} of {role}{f' ({name})' if name else ''}" for pid, name, role, _ in found]
    return f": {', '.join(those)}" if those else ""
