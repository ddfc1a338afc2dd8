"""The read models as the audit sees them: all of one moment, by however many processes, against the logs."""

from collections.abc import Collection, Iterable, Iterator
from typing import Final

from psycopg.sql import SQL, Literal

from adapters.audit_folded import folded
from adapters.postgres_read_tables import ReadSnapshot, ReadTable
from domain.recorded import Recorded
from orchestrator.audit import Finding
from orchestrator.audit_rows import Shape, compare_table
from projections.projection import Projection, Row, Table

UNIT: Final = "rows"
KEYS_AT_ONCE: Final = 1_000


class AuditSnapshot(ReadSnapshot):
    """Read models and their positions as of one moment. `shared`: the moment of another one that is open."""

    def __init__(self, dsn: str, shared: str | None = None) -> None:
        self._shared = shared
        super().__init__(dsn)

    def share(self) -> str:
        """The moment's name, for `shared`, while this one is open."""
        row = self._connection.execute("SELECT pg_export_snapshot()").fetchone()
        assert row is not None, "this function always returns one row"
        return str(row[0])

    def rows_of(self, table: Table, keys: Collection[int]) -> Iterator[Row]:
        """The rows of these keys only, those of one key together, in bounded memory."""
        wanted, rows = sorted(keys), ReadTable(table, self._schema)
        for first in range(0, len(wanted), KEYS_AT_ONCE):
            some = rows.load(self._connection, wanted[first : first + KEYS_AT_ONCE])
            for standing in some.values():
                yield from standing

    def _hold_tables(self) -> None:
        """The one that shares its moment holds the tables as well."""
        if self._shared is None:
            super()._hold_tables()
        else:
            self._connection.execute(SQL("SET TRANSACTION SNAPSHOT {}").format(Literal(self._shared)))


class ReadModel:
    """A check of one read model: folds its log up to where its tables are, `until`, then compares them.

    `only_folded`: when the events that it gets are of some streams only, and so are the rows to compare.
    """

    unit = UNIT

    def __init__(
        self, projection: Projection, snapshot: AuditSnapshot, until: int, *, only_folded: bool = False
    ) -> None:
        self.name = name_of(projection)
        tables = " and ".join(table.name for table in projection.tables)
        self.question = f"Read model {tables} equals its log"
        self.count = 0
        self.events = projection.events
        self._projection = projection
        self._snapshot = snapshot
        self._until = until
        self._only_folded = only_folded
        self._folded = {table.name: folded(table) for table in projection.tables}
        self._stopped = False

    def see(self, recorded: Recorded) -> Iterable[Finding]:
        if recorded.position > self._until or self._stopped:
            return ()
        try:
            for each in self._folded.values():
                each.see(recorded)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
            # Projections trust the log; an event that nobody decided can be one that they cannot take.
            self._stopped = True
            what = f"{type(recorded.event).__name__} cannot be applied; the rest was not compared"
            return (Finding(self.name, recorded.originator_id, recorded.position, what, self._log),)
        return ()

    def recall(self, recorded: Recorded) -> Iterable[Finding]:
        return self.see(recorded) if type(recorded.event) in self.events else ()

    def end(self) -> Iterator[Finding]:
        if not self._stopped:
            for table in self._projection.tables:
                yield from self._compare(table)

    @property
    def _log(self) -> str:
        return self._projection.log

    def _compare(self, table: Table) -> Iterator[Finding]:
        key = tuple(table.columns.index(name) for name in table.primary_key)
        shape = Shape(self.name, table.name, table.columns, key, self._log, self._until)
        expected = self._folded.pop(table.name)
        rows = (
            self._snapshot.rows_of(table, expected.keys())
            if self._only_folded
            else self._snapshot.rows(table)
        )
        yield from compare_table(shape, expected, self._counted(rows))

    def _counted(self, rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
        for row in rows:
            self.count += 1
            yield row


def name_of(projection: Projection) -> str:
    """As the report calls its check."""
    return f"read model {projection.name}"
