"""The audit of a running shop, or of one at rest: logs, read models and checks brought together.

Order of reading, so that a shop at work gives no false findings: first the read models' snapshot, so that
every log reaches at least as far as they do; then how far the order log goes; then how far the inventory
log goes, so that what an order knows of its sale has been read. Orders that moved in between are unfinished.
All of that is decided here, once, and then told to the processes that read.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Final

import psycopg

from adapters.audit_decisions import Decisions
from adapters.audit_events import AuditedLog
from adapters.audit_models import UNIT as ROWS
from adapters.audit_models import AuditSnapshot, name_of
from adapters.audit_pool import Task, run_all
from adapters.audit_since import earlier_in
from adapters.audit_walk import Facts, Walk, Walked
from adapters.error_text import first_line
from adapters.worker_pool import Progress
from domain import streams
from domain.services import SERVICES
from orchestrator.audit import Report, Tally
from orchestrator.audit_orders import OrdersAddUp
from orchestrator.audit_pairs import CHECK, QUESTION, UNIT, Books, compare, unfinished
from orchestrator.audit_sagas import SagasMoveLegally
from orchestrator.audit_sales import SalesMoveTheirStock
from orchestrator.audit_since import Earlier
from orchestrator.audit_stock import StockAddsUp
from orchestrator.audit_streams import LogIsWhole
from orchestrator.redecide import DecidesTheSame
from projections import PROJECTIONS
from projections.projection import Projection

LOGS: Final = ("order", "inventory", "goods", "user")

CHECKS: Final = (
    *(check.name for check in (StockAddsUp, SalesMoveTheirStock, OrdersAddUp, SagasMoveLegally)),
    CHECK,
    *(LogIsWhole(log).name for log in LOGS),
    *map(name_of, PROJECTIONS),
    *(DecidesTheSame(service).name for service in SERVICES),
)
"""In the order of the report."""


class CannotAudit(Exception):
    """The audit could not run; the text says why, in one line."""


@dataclass(frozen=True, slots=True)
class _Extent:
    """How far each log and each read model is read. `moving_until`: where the order log was after that."""

    models: Mapping[str, int]
    positions: Mapping[str, int]
    moving_until: int

    def told(self, log: str) -> int:
        """Up to where both the log and all its read models were looked at."""
        return min(self.positions[log], *(self.models[one.name] for one in PROJECTIONS if one.log == log))


def audit(
    dsns: Mapping[str, str],
    progress: Progress = lambda *_: None,
    *,
    redecides: bool = False,
    since: Mapping[str, int] | None = None,
) -> Report:
    """Audits all four logs and all read models; reads only. It blocks for as long as it takes.

    `redecides`: whether every recorded command is decided once more as well. `since`: up to where each log
    was audited before and found clean; a log that is not named is read from its beginning.
    `dsns`: an address for each of user, goods, inventory, order and read. Raises CannotAudit, and
    LogUnreadable for a log that cannot be read. A damaged event is a finding.
    """
    with _read_models(dsns["read"]) as snapshot:
        extent = _extent(dsns, snapshot)
        earlier = _earlier(dsns, extent, since) if since else {}
        moment = snapshot.share()
        walks = [_walk(dsns, log, extent, moment, earlier.get(log)) for log in LOGS]
        tasks: list[Task] = [*walks]
        if redecides:
            tasks += [Decisions(walk.log, walk.dsn, walk.until, walk.after) for walk in walks]
        walked = _run_all(tasks, progress)
    tally = Tally()
    for each in walked:
        tally.merge(each.tally)
    books = _books([each.facts for each in walked], _moving(dsns["order"], extent))
    tally.add(compare(books))
    tally.checked(CHECK, QUESTION, len(books.sagas), UNIT)
    tally.arrange(CHECKS)
    report = tally.report(extent.positions, list(unfinished(books)))
    after = {log: known.after for log, known in earlier.items()}
    return replace(report, since=after, next_since=as_typed({log: extent.told(log) for log in LOGS}))


def as_typed(positions: Mapping[str, int]) -> str:
    """Positions of logs as they are typed, and as `continued_from` reads them."""
    return ",".join(f"{log}={position}" for log, position in positions.items())


def verdict_line(report: Report) -> str:
    """The outcome in one line, for a person."""
    events = sum(checked.count for checked in report.checks if checked.unit == LogIsWhole.unit)
    rows = sum(checked.count for checked in report.checks if checked.unit == ROWS)
    looked = f"{events:,} events and {rows:,} rows of read models"
    looked += f" after {as_typed(report.since)}" if report.since else ""
    waiting = f"; {report.unfinished_count:,} orders unfinished" if report.unfinished_count else ""
    if report.is_clean:
        return f"The books balance: {looked}, no findings{waiting}."
    first = report.findings[0]
    findings = "1 finding" if report.found == 1 else f"{report.found:,} findings"
    return f"THE BOOKS DO NOT BALANCE: {findings} in {looked}{waiting}; first: {first.subject}: {first.what}."


def _extent(dsns: Mapping[str, str], snapshot: AuditSnapshot) -> _Extent:
    models = {projection.name: _position(snapshot, projection) for projection in PROJECTIONS}
    positions = {log: AuditedLog(dsns[log], log).last_position() for log in LOGS}
    return _Extent(models, positions, AuditedLog(dsns["order"], "order").last_position())


def _earlier(dsns: Mapping[str, str], extent: _Extent, since: Mapping[str, int]) -> dict[str, Earlier]:
    """Raises CannotAudit for positions that no audit can have reached."""
    for log, position in since.items():
        if log not in LOGS:
            raise CannotAudit(f"--since: there is no log {log[:40]!r}, only {', '.join(LOGS)}")
        if not 0 <= position <= extent.positions[log]:
            end = extent.positions[log]
            raise CannotAudit(f"--since: {log}={position} is not in its log, which ends at {end}")
    # A read model that was set back makes rows of what was audited before.
    known = {log: min(position, extent.told(log)) for log, position in since.items()}
    return earlier_in(dsns, known, extent.positions)


def _walk(dsns: Mapping[str, str], log: str, extent: _Extent, moment: str, earlier: Earlier | None) -> Walk:
    models = {one.name: extent.models[one.name] for one in PROJECTIONS if one.log == log}
    return Walk(log, dsns[log], extent.positions[log], dsns["read"], moment, models, earlier)


def _run_all(tasks: Sequence[Task], progress: Progress) -> list[Walked]:
    try:
        return run_all(tasks, progress)
    except BrokenProcessPool as error:
        raise CannotAudit("a process that was reading has been killed; is there enough memory?") from error


def _books(facts: list[Facts], moving: frozenset[str]) -> Books:
    orders = {order_id: known for each in facts for order_id, known in each.orders.items()}
    sagas = {order_id: known for each in facts for order_id, known in each.sagas.items()}
    sales = {order_id: known for each in facts for order_id, known in each.sales.items()}
    return Books(orders, sagas, sales, moving)


def _moving(dsn: str, extent: _Extent) -> frozenset[str]:
    # What is damaged there is told by the next audit, which reads that far.
    log = AuditedLog(dsn, "order")
    later = log.read_on(lambda _: None, extent.positions["order"], extent.moving_until)
    names = (recorded.originator_id for recorded in later)
    return frozenset(streams.key_of(name) for name in names if streams.category(name) in {"order", "saga"})


def _position(snapshot: AuditSnapshot, projection: Projection) -> int:
    try:
        return snapshot.position(projection)
    except AssertionError as error:
        raise CannotAudit(f"the read models are not complete, run `tillroll migrate`: {error}") from error


@contextmanager
def _read_models(dsn: str) -> Iterator[AuditSnapshot]:
    try:
        with AuditSnapshot(dsn) as snapshot:
            yield snapshot
    except psycopg.Error as error:
        raise CannotAudit(f"the read models cannot be read: {first_line(error)}") from error
