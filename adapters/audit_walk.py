"""One log read from one end to the other for all checks that look at it: one piece of the audit's work.

The pieces run in processes of their own. What goes in is a value, and so is what comes out: findings, counts,
and the little that is kept of each order, which the parent compares across logs.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field

from adapters.audit_events import Hear, Heard, told
from adapters.audit_models import AuditSnapshot, ReadModel
from adapters.audit_since import ContinuedLog
from orchestrator.audit import Check, Finding, Tally, walk
from orchestrator.audit_orders import OrderFacts, OrdersAddUp
from orchestrator.audit_sagas import SagaFacts, SagasMoveLegally
from orchestrator.audit_sales import SaleFacts, SalesMoveTheirStock
from orchestrator.audit_since import Earlier, recall
from orchestrator.audit_stock import StockAddsUp
from orchestrator.audit_streams import Damage, LogIsWhole
from projections import PROJECTIONS


@dataclass(frozen=True, slots=True)
class Walk:
    """What to read. `until`: the last position of `log`. `models`: the position of each of its read models.

    `snapshot`: name of the moment at which the read models are looked at. `earlier`: what was audited before.
    """

    log: str
    dsn: str
    until: int
    read_dsn: str
    snapshot: str
    models: Mapping[str, int]
    earlier: Earlier | None = None

    @property
    def after(self) -> int:
        return self.earlier.after if self.earlier else 0

    @property
    def name(self) -> str:
        return f"{self.log} log"

    def run(self, hear: Hear) -> "Walked":
        """Raises LogUnreadable; psycopg.Error when the read models cannot be read."""
        return _walked(self, hear)


@dataclass(frozen=True, slots=True)
class Facts:
    """What is known of each order by its id, as far as the logs that were read tell it."""

    orders: Mapping[str, OrderFacts] = field(default_factory=dict)
    sagas: Mapping[str, SagaFacts] = field(default_factory=dict)
    sales: Mapping[str, SaleFacts] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Walked:
    tally: Tally
    facts: Facts


def _walked(task: Walk, hear: Hear) -> Walked:
    log, tally, whole = ContinuedLog(task.dsn, task.log), Tally(), LogIsWhole(task.log, after=task.after)
    books, facts = _books(task.log)
    with AuditSnapshot(task.read_dsn, task.snapshot) as snapshot:
        checks = [whole, *books, *_models(task, snapshot)]
        if task.earlier:
            of_before = log.recalled(task.earlier, _into(tally, whole.recall_damage))
            tally.add(recall(of_before, checks))
        events = log.read_on(_into(tally, whole.see_damage), task.after, task.until)
        tally.add(walk(told(events, task.until, hear), checks))
    for check in checks:
        tally.close(check)
    return Walked(tally, facts)


def _books(log: str) -> tuple[Sequence[Check], Facts]:
    match log:
        case "order":
            orders = OrdersAddUp()
            sagas = SagasMoveLegally(orders.facts)
            return (orders, sagas), Facts(orders=orders.facts, sagas=sagas.facts)
        case "inventory":
            sales = SalesMoveTheirStock()
            return (StockAddsUp(), sales), Facts(sales=sales.facts)
        case _:
            return (), Facts()


def _models(task: Walk, snapshot: AuditSnapshot) -> Iterator[ReadModel]:
    for projection in PROJECTIONS:
        if projection.name in task.models:
            until, only_folded = task.models[projection.name], task.earlier is not None
            yield ReadModel(projection, snapshot, until, only_folded=only_folded)


def _into(tally: Tally, findings: Callable[[Damage], Iterable[Finding]]) -> Heard:
    """Damage is a finding of the check that looks at the whole log."""
    return lambda damage: tally.add(findings(damage))
