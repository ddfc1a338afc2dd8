"""The audit of a running shop, or of one at rest: logs, read models and checks brought together.

Order of reading, so that a shop at work gives no false findings: first the read models' snapshot, so that
every log reaches at least as far as they do; then how far the order log goes; then how far the inventory
log goes, so that what an order knows of its sale has been read. Orders that moved in between are unfinished.
All of that is decided here, once, and then told to the processes that read.
"""

from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

import psycopg

from adapters.audit_decisions import Decisions
from adapters.audit_events import AuditedLog
from adapters.audit_models import UNIT as ROWS
from adapters.audit_models import AuditSnapshot, name_of
from adapters.audit_pool import Task, run_all
from adapters.audit_walk import Facts, Walk, Walked
from adapters.worker_pool import Progress
from domain import streams
from domain.services import SERVICES
from orchestrator.audit import Report, Tally
from orchestrator.audit_orders import OrdersAddUp
from orchestrator.audit_pairs import CHECK, QUESTION, UNIT, Books, compare, unfinished
from orchestrator.audit_sagas import SagasMoveLegally
from orchestrator.audit_sales import SalesMoveTheirStock
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


def audit(
    dsns: Mapping[str, str], progress: Progress = lambda *_: None, *, redecides: bool = False
) -> Report:
    """Audits all four logs and all read models; reads only. It blocks for as long as it takes.

    `redecides`: whether every recorded command is decided once more as well.
    `dsns`: an address for each of user, goods, inventory, order and read. Raises CannotAudit, and
    LogUnreadable for a log that cannot be read. A damaged event is a finding.
    """
    with _read_models(dsns["read"]) as snapshot:
        extent = _extent(dsns, snapshot)
        moment = snapshot.share()
        tasks: list[Task] = [_walk(dsns, log, extent, moment) for log in LOGS]
        if redecides:
            tasks += [Decisions(log, dsns[log], extent.positions[log]) for log in LOGS]
        walked = _run_all(tasks, progress)
    tally = Tally()
    for each in walked:
        tally.merge(each.tally)
    books = _books([each.facts for each in walked], _moving(dsns["order"], extent))
    tally.add(compare(books))
    tally.checked(CHECK, QUESTION, len(books.sagas), UNIT)
    tally.arrange(CHECKS)
    return tally.report(extent.positions, list(unfinished(books)))


def verdict_line(report: Report) -> str:
    """The outcome in one line, for a person."""
    events = sum(checked.count for checked in report.checks if checked.unit == LogIsWhole.unit)
    rows = sum(checked.count for checked in report.checks if checked.unit == ROWS)
    looked = f"{events:,} events and {rows:,} rows of read models"
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


def _walk(dsns: Mapping[str, str], log: str, extent: _Extent, moment: str) -> Walk:
    models = {one.name: extent.models[one.name] for one in PROJECTIONS if one.log == log}
    return Walk(log, dsns[log], extent.positions[log], dsns["read"], moment, models)


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
        raise CannotAudit(f"the read models cannot be read: {str(error).partition(chr(10))[0]}") from error
