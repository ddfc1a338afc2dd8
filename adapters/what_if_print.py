"""How a simulated world is shown beside the recorded one, for a person or a pipe."""

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.cli_reading import table_for
from adapters.what_if_run import WhatIf
from orchestrator.what_if_outcomes import Outcome

SHOWN_ORDERS: Final = 50
SHOWN_GOODS: Final = 20


def show_what_if(found: WhatIf, out: Console) -> None:
    """Totals first, then what differs."""
    out.print(_totals_table(found, out))
    if found.orders:
        out.print(_orders_table(found, out))
        _more(len(found.orders), SHOWN_ORDERS, "orders", out)
    if found.goods:
        out.print(_goods_table(found, out))
        _more(len(found.goods), SHOWN_GOODS, "goods", out)
    out.print(Text(_verdict(found), style="bold"))


def _verdict(found: WhatIf) -> str:
    run_again = f"{found.commands:,} recorded commands run again"
    if not (found.orders or found.goods):
        return f"{run_again}: no order and no stock would differ."
    orders, goods = f"{len(found.orders):,} orders", f"the final stock of {len(found.goods):,} goods"
    return f"{run_again}: {orders} would have ended otherwise, and {goods} would differ."


def _more(count: int, shown: int, what: str, out: Console) -> None:
    if count > shown:
        out.print(f"The first {shown} of {count:,} {what} are shown; --json has all of them.")


def _totals_table(found: WhatIf, out: Console) -> Table:
    table = table_of(out, "Totals")
    for heading in ("Recorded", "What if", "Difference"):
        table.add_column(heading, justify="right", no_wrap=True)
    before, after = found.before, found.after
    words = sorted(before.orders.keys() | after.orders.keys())
    rows = [(f"orders {w}", before.orders.get(w, 0), after.orders.get(w, 0)) for w in words]
    rows += [
        ("revenue paid", before.revenue_paid, after.revenue_paid),
        ("refunds due", before.refunds_due, after.refunds_due),
        ("units sold", before.units_sold, after.units_sold),
        ("units returned", before.units_returned, after.units_returned),
    ]
    for what, was, would_be in rows:
        difference = f"{would_be - was:+,}" if would_be != was else ""
        table.add_row(what, f"{was:,}", f"{would_be:,}", difference)
    return table


def _orders_table(found: WhatIf, out: Console) -> Table:
    table = table_of(out, "Order", "User", "Started (UTC)", "Amount", "Recorded", "What if")
    for one in found.orders[:SHOWN_ORDERS]:
        started = "" if one.started_at is None else f"{one.started_at:%Y-%m-%d %H:%M:%S}"
        facts = (one.order_id, str(one.user_id), started, str(one.amount))
        table.add_row(*facts, Text(_told(one.before)), Text(_told(one.after)))
    return table


def _told(outcome: Outcome) -> str:
    why = f": {outcome.why}" if outcome.why else ""
    short = "".join(
        f", goods {one.goods_id}: {one.wanted} wanted, {one.available} there" for one in outcome.short[:3]
    )
    refund = f"; refund due {outcome.refund_due}" if outcome.refund_due else ""
    return f"{outcome.what}{why}{short}{refund}"


def _goods_table(found: WhatIf, out: Console) -> Table:
    table = table_of(out, "Goods")
    for heading in ("On hand, recorded", "What if"):
        table.add_column(heading, justify="right", no_wrap=True)
    for one in found.goods[:SHOWN_GOODS]:
        table.add_row(str(one.goods_id), f"{one.before:,}", f"{one.after:,}")
    return table


def table_of(out: Console, *headings: str) -> Table:
    """Lines for a person, columns alone for a pipe."""
    table = table_for(out)
    for heading in headings:
        table.add_column(heading, overflow="fold")
    return table
