"""The read models as the audit sees them: all of one moment, by however many processes, against the logs."""

from collections.abc import Iterable, Iterator
from typing import Final

from psycopg.sql import SQL, Literal

from adapters.postgres_read_tables import ReadSnapshot
from domain.recorded import Recorded
from orchestrator.audit import Finding
from orchestrator.audit_rows import Shape, compare_table
from projections.projection import Projection, Rows, Table, apply

UNIT: Final = "rows"


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

    def _hold_tables(self) -> None:
        """The one that shares its moment holds the tables as well."""
        if self._shared is None:
            super()._hold_tables()
        else:
            self._connection.execute(SQL("SET TRANSACTION SNAPSHOT {}").format(Literal(self._shared)))


class ReadModel:
    """A check of one read model: folds its log up to where its tables are, `until`, then compares them."""

    unit = UNIT

    def __init__(self, projection: Projection, snapshot: ReadSnapshot, until: int) -> None:
        self.name = name_of(projection)
        tables = " and ".join(table.name for table in projection.tables)
        self.question = f"Read model {tables} equals its log"
        self.count = 0
        self.events = projection.events
        self._projection = projection
        self._snapshot = snapshot
        self._until = until
        self._folded: dict[str, dict[int, Rows]] = {table.name: {} for table in projection.tables}
        self._stopped = False

    def see(self, recorded: Recorded) -> Iterable[Finding]:
        if recorded.position > self._until or self._stopped:
            return ()
        try:
            for table in self._projection.tables:
                apply(table, self._folded[table.name], recorded)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
            # Projections trust the log; an event that nobody decided can be one that they cannot take.
            self._stopped = True
            what = f"{type(recorded.event).__name__} cannot be applied; the rest was not compared"
            return (Finding(self.name, recorded.originator_id, recorded.position, what, self._log),)
        return ()

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
        rows = self._counted(self._snapshot.rows(table))
        folded = {key: rows for key, rows in self._folded.pop(table.name).items() if rows}
        yield from compare_table(shape, folded, rows)

    def _counted(self, rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
        for row in rows:
            self.count += 1
            yield row


def name_of(projection: Projection) -> str:
    """As the report calls its check."""
    return f"read model {projection.name}"
