"""What a load found, and what of it is wrong."""

from collections.abc import Sequence
from dataclasses import dataclass
from math import ceil

from adapters.retail_plan import RetailPlan

SHOWN_FAILURES = 20


@dataclass(frozen=True, slots=True)
class LoadResult:
    """What the server answered, beside what the file says. Money in pence, times as named."""

    orders: int
    file_orders: int
    lines: int
    units: int
    revenue_pence: int
    file_revenue_pence: int
    users: int
    goods: int
    seconds: float
    orders_per_s: float
    place_p50_ms: float
    place_p99_ms: float
    replayed: int
    stock_left: int
    refused_as_short: bool
    failures: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Tally:
    """What the load counted on its way. `place_s`: how long each new order took, in seconds."""

    orders: int
    revenue_pence: int
    replayed: int
    place_s: Sequence[float]
    order_seconds: float
    seconds: float
    leftovers: Sequence[tuple[str, int]]
    refused_as_short: bool


def result_of(plan: RetailPlan, tally: Tally) -> LoadResult:
    """The plan and the tally beside each other."""
    ordered = sorted(tally.place_s)
    return LoadResult(
        orders=tally.orders,
        file_orders=len(plan.orders),
        lines=plan.lines,
        units=plan.units,
        revenue_pence=tally.revenue_pence,
        file_revenue_pence=plan.revenue_pence,
        users=len(plan.shoppers),
        goods=len(plan.goods),
        seconds=tally.seconds,
        orders_per_s=tally.orders / tally.order_seconds if tally.order_seconds else 0.0,
        place_p50_ms=percentile(ordered, 50) * 1000,
        place_p99_ms=percentile(ordered, 99) * 1000,
        replayed=tally.replayed,
        stock_left=sum(left for _, left in tally.leftovers),
        refused_as_short=tally.refused_as_short,
        failures=tuple(f"{name}: {left:,} left" for name, left in tally.leftovers[:SHOWN_FAILURES]),
    )


def problems(result: LoadResult) -> tuple[str, ...]:
    """Everything that does not add up, a line each; none when the load ended as the file says."""
    found: list[str] = []
    if result.orders != result.file_orders:
        found.append(f"{result.orders:,} orders were paid, the file has {result.file_orders:,}")
    if result.revenue_pence != result.file_revenue_pence:
        found.append(
            f"the orders cost {result.revenue_pence:,} pence, the file says {result.file_revenue_pence:,}"
        )
    if result.stock_left or result.failures:
        found.append(f"{result.stock_left:,} units are left in stock, expected none")
    if not result.refused_as_short:
        found.append("one more order was not refused as short, though everything is sold")
    return (*found, *result.failures)


def percentile(ordered: Sequence[float], percent: int) -> float:
    """The smallest value with `percent` of the values at or below it; 0 for none. `ordered` ascends."""
    return ordered[max(0, ceil(len(ordered) * percent / 100) - 1)] if ordered else 0.0
