"""The audit of a running shop, or of one at rest: logs, read models and checks brought together.

Order of reading, so that a shop at work gives no false findings: first the read models' snapshot, so that
every log reaches at least as far as they do; then how far the order log goes; then how far the inventory
log goes, so that what an order knows of its sale has been read. Orders that moved in between are unfinished.
"""

from collections.abc import Callable, Collection, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from adapters.audit_events import AuditedLog, Heard
from adapters.postgres_read_tables import ReadSnapshot
from domain import streams
from domain.recorded import Recorded
from orchestrator.audit import Check, Finding, Report, Tally, walk
from orchestrator.audit_orders import OrdersAddUp
from orchestrator.audit_pairs import CHECK, QUESTION, UNIT, Books, compare, unfinished
from orchestrator.audit_rows import Shape, compare_table
from orchestrator.audit_sagas import SagasMoveLegally
from orchestrator.audit_sales import SalesMoveTheirStock
from orchestrator.audit_stock import StockAddsUp
from orchestrator.audit_streams import LogIsWhole
from projections import PROJECTIONS
from projections.projection import Projection, Rows, Table, apply

LOGS: Final = ("order", "inventory", "goods", "user")
PROGRESS_EVERY_EVENTS: Final = 1_000

Progress = Callable[[str, int, int], None]
"""Hears what is being read, how far that is, and where it ends."""


class CannotAudit(Exception):
    """The audit could not run; the text says why, in one line."""


class ReadModel:
    """A check of one read model: folds its log up to where its tables are, then compares them."""

    unit = "rows"

    def __init__(self, projection: Projection, snapshot: ReadSnapshot) -> None:
        self.name = f"read model {projection.name}"
        tables = " and ".join(table.name for table in projection.tables)
        self.question = f"Read model {tables} equals its log"
        self.count = 0
        self.log = projection.log
        self._projection = projection
        self._wanted = projection.events
        self._snapshot = snapshot
        self._until = _position(snapshot, projection)
        self._folded: dict[str, dict[int, Rows]] = {table.name: {} for table in projection.tables}
        self._stopped = False

    def see(self, recorded: Recorded) -> Iterable[Finding]:
        if recorded.position > self._until or type(recorded.event) not in self._wanted:
            return ()
        return () if self._stopped else self._fold(recorded)

    def end(self) -> Iterator[Finding]:
        if not self._stopped:
            for table in self._projection.tables:
                yield from self._compare(table)

    def _fold(self, recorded: Recorded) -> Iterator[Finding]:
        try:
            for table in self._projection.tables:
                apply(table, self._folded[table.name], recorded)
        except (ArithmeticError, AssertionError, LookupError, TypeError, ValueError):
            # Projections trust the log; an event that nobody decided can be one that they cannot take.
            self._stopped = True
            what = f"{type(recorded.event).__name__} cannot be applied; the rest was not compared"
            yield Finding(self.name, recorded.originator_id, recorded.position, what, self.log)

    def _compare(self, table: Table) -> Iterator[Finding]:
        key = tuple(table.columns.index(name) for name in table.primary_key)
        shape = Shape(self.name, table.name, table.columns, key, self.log, self._until)
        rows = self._counted(self._snapshot.rows(table))
        folded = {key: rows for key, rows in self._folded.pop(table.name).items() if rows}
        yield from compare_table(shape, folded, rows)

    def _counted(self, rows: Iterable[tuple[object, ...]]) -> Iterator[tuple[object, ...]]:
        for row in rows:
            self.count += 1
            yield row


class _Checks:
    """All checks, by the log that they read, and in the order in which they are reported."""

    def __init__(self, snapshot: ReadSnapshot) -> None:
        self._orders = OrdersAddUp()
        self._sagas = SagasMoveLegally(self._orders.facts)
        self._stock, self._sales = StockAddsUp(), SalesMoveTheirStock()
        self._whole = {log: LogIsWhole(log) for log in LOGS}
        self._models = [ReadModel(projection, snapshot) for projection in PROJECTIONS]

    def of(self, log: str) -> list[Check]:
        books: Mapping[str, list[Check]] = {
            "order": [self._orders, self._sagas],
            "inventory": [self._stock, self._sales],
        }
        return [self._whole[log], *books.get(log, ()), *(m for m in self._models if m.log == log)]

    def whole(self, log: str) -> LogIsWhole:
        return self._whole[log]

    def books(self, moving: Collection[str]) -> Books:
        return Books(self._orders.facts, self._sagas.facts, self._sales.facts, moving)

    def close(self, tally: Tally) -> None:
        for book in (self._stock, self._sales, self._orders, self._sagas):
            tally.close(book)
        tally.checked(CHECK, QUESTION, self._sagas.count, UNIT)
        for log in LOGS:
            tally.close(self._whole[log])
        for model in self._models:
            tally.close(model)


@dataclass(frozen=True, slots=True)
class _Extent:
    """How far each log is read. `moving_until`: where the order log was once that was known."""

    positions: Mapping[str, int]
    moving_until: int


def audit(dsns: Mapping[str, str], progress: Progress = lambda *_: None) -> Report:
    """Audits all four logs and all read models; reads only. It blocks for as long as it takes.

    `dsns`: an address for each of user, goods, inventory, order and read. Raises CannotAudit, and
    LogUnreadable for a log that cannot be read. A damaged event is a finding.
    """
    readers = {log: AuditedLog(dsns[log], log) for log in LOGS}
    with _read_models(dsns["read"]) as snapshot:
        checks = _Checks(snapshot)
        extent = _extent(readers)
        tally = Tally()
        for log in LOGS:
            heard = _into(tally, checks.whole(log))
            told = _told(readers[log], extent.positions[log], heard, progress)
            tally.add(walk(told, checks.of(log)))
    books = checks.books(_moving(readers["order"], extent))
    tally.add(compare(books))
    checks.close(tally)
    return tally.report(extent.positions, list(unfinished(books)))


def verdict_line(report: Report) -> str:
    """The outcome in one line, for a person."""
    events = sum(checked.count for checked in report.checks if checked.unit == LogIsWhole.unit)
    rows = sum(checked.count for checked in report.checks if checked.unit == ReadModel.unit)
    looked = f"{events:,} events and {rows:,} rows of read models"
    waiting = f"; {report.unfinished_count:,} orders unfinished" if report.unfinished_count else ""
    if report.is_clean:
        return f"The books balance: {looked}, no findings{waiting}."
    first = report.findings[0]
    findings = "1 finding" if report.found == 1 else f"{report.found:,} findings"
    return f"THE BOOKS DO NOT BALANCE: {findings} in {looked}{waiting}; first: {first.subject}: {first.what}."


def _into(tally: Tally, whole: LogIsWhole) -> Heard:
    """Damage is a finding of the check that looks at the whole log."""
    return lambda damage: tally.add(whole.see_damage(damage))


def _extent(readers: Mapping[str, AuditedLog]) -> _Extent:
    positions = {log: readers[log].last_position() for log in LOGS}
    return _Extent(positions, readers["order"].last_position())


def _moving(order_log: AuditedLog, extent: _Extent) -> frozenset[str]:
    # What is damaged there is told by the next audit, which reads that far.
    later = order_log.read_on(lambda _: None, extent.positions["order"], extent.moving_until)
    names = (recorded.originator_id for recorded in later)
    return frozenset(streams.key_of(name) for name in names if streams.category(name) in {"order", "saga"})


def _told(reader: AuditedLog, until: int, heard: Heard, progress: Progress) -> Iterator[Recorded]:
    what = f"{reader.log} log"
    progress(what, 0, until)
    for number, recorded in enumerate(reader.read_on(heard, until=until)):
        if number % PROGRESS_EVERY_EVENTS == 0:
            progress(what, recorded.position, until)
        yield recorded
    progress(what, until, until)


def _position(snapshot: ReadSnapshot, projection: Projection) -> int:
    try:
        return snapshot.position(projection)
    except AssertionError as error:
        raise CannotAudit(f"the read models are not complete, run `tillroll migrate`: {error}") from error


@contextmanager
def _read_models(dsn: str) -> Iterator[ReadSnapshot]:
    try:
        with ReadSnapshot(dsn) as snapshot:
            yield snapshot
    except psycopg.Error as error:
        raise CannotAudit(f"the read models cannot be read: {str(error).partition(chr(10))[0]}") from error
