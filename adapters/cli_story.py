"""How stories look in a terminal: tables and lines, colours by meaning, plain columns in a pipe."""

from datetime import datetime
from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.cli_reading import table_for
from adapters.order_story import Story
from adapters.story_find import UserOrders
from adapters.story_outlook import Act, Outlook
from adapters.story_words import clock, harmless, lasted, money
from domain.order import OrderStatus
from orchestrator.timeline import OPERATOR, Entry, Waiting

STATUS_WORDS: Final = {
    OrderStatus.NONE.name: "never placed",
    OrderStatus.TO_PAY.name: "to pay",
    OrderStatus.PAID.name: "paid",
    OrderStatus.CLOSED.name: "closed",
}

LATE_AFTER_S: Final = 5.0
"""Overdue for so long says that no orchestrator runs."""

COLOURS: Final = {
    "OrderPaid": "green",
    "PaymentTaken": "green",
    "SellRefused": "red",
    "StartDenied": "red",
    "SellDenied": "red",
    "PlacementRefused": "red",
    "RefundDue": "bold red",
    "SellUnanswered": "yellow",
    "PaymentLapsed": "yellow",
    "OrderCancelled": "yellow",
    "Resent": "yellow",
    "RetryOrdered": "cyan",
    "CompensationOrdered": "cyan",
}
"""Green: money is in. Red: a no, or money that is owed. Yellow: silence, or given up. Cyan: by hand."""


def two(first: str, second: str, out: Console, style: str = "") -> Text:
    """Two lines in one cell; one line in a pipe, so that each row stays one."""
    told = Text(first, style)
    return told.append(("\n" if out.is_terminal else "  ") + second, "dim") if second else told


def show_story(story: Story, currency: str, out: Console) -> None:
    who = f"user {story.user_id}" if story.user_id else "sold by hand, no order"
    amount = money(story.amount, currency)
    facts = f"{amount}   {STATUS_WORDS[story.status]}   saga {story.step}"
    out.print(Text.assemble((f"Order {story.order_id}", "bold"), f"   {who}   {facts}"))
    if story.as_of is not None:
        _show_then(story, out)
    _show_outlook(story.outlook, currency, out)
    for message in story.parked or ():
        words = f"Parked     {message.id}: {harmless(message.reason)}; tillroll parked show {message.id}"
        out.print(Text(words, style="yellow"))
    out.print(_entries(story.entries, out))


def _show_then(story: Story, out: Console) -> None:
    assert story.as_of is not None
    lines = ", ".join(f"{line.nums} x goods {line.goods_id}" for line in story.cart) or "empty"
    out.print(Text(f"As of      {clock(story.as_of)} UTC; the API answered {story.outlook.answered}"))
    out.print(Text(f"Cart then  {lines}"))


def _show_outlook(found: Outlook, currency: str, out: Console) -> None:
    for refund in found.refunds:
        owed = money(refund.amount, currency)
        words = f"REFUND DUE {owed} to user {refund.user_id} for trade {harmless(refund.trade_id)}"
        came = f", which came by {harmless(refund.pay_type)} at {clock(refund.at)} UTC, after the close"
        out.print(Text(words + came, style="bold red"))
    if found.why is not None:
        out.print(Text(f"Because    {found.why}"))
    if found.waiting is not None:
        out.print(Text(_waits(found.waiting, found), style="yellow"))
        for act in found.acts:
            out.print(_act(act))


def _waits(waiting: Waiting, found: Outlook) -> str:
    due = waiting.next_try_at
    late = _late(found.overdue_s)
    next_try = f"; next try at {clock(due)}{late}" if due else ""
    tries = f"; asked again {waiting.tries} times" if waiting.tries else ""
    error = f"; last error: {waiting.last_error}" if waiting.last_error else ""
    since = f"since {clock(waiting.since)}, for {lasted(found.waits_s)}"
    return f"Waits for {waiting.what}, {since}{next_try}{tries}{error}"


def _late(overdue_s: float) -> str:
    doubt = " (does an orchestrator run?)" if overdue_s > LATE_AFTER_S else ""
    return f", overdue by {lasted(overdue_s)}{doubt}" if overdue_s else ""


def _act(act: Act) -> Text:
    if act.is_safe:
        return Text.assemble(("Safe now   ", "green"), (act.command, "bold"), f": {act.why}")
    return Text(f"Not now    {act.name}: {act.why}", style="dim")


def _entries(entries: tuple[Entry, ...], out: Console) -> Table:
    table = table_for(out)
    table.add_column("When (UTC)", no_wrap=True)
    table.add_column("After", justify="right", no_wrap=True)
    table.add_column("Who")
    table.add_column("What", ratio=1)
    table.add_column("Log", no_wrap=True)
    day = ""
    for entry in entries:
        what = two(harmless(entry.what), harmless(entry.detail), out, COLOURS.get(entry.event, ""))
        # Command ids are long and for programs: --json has them.
        cause = f"by {entry.caused_by}" if entry.caused_by else ""
        where = two(f"{entry.log}={entry.position}", cause, out)
        when, day = _when(entry.at, day, out), f"{entry.at:%Y-%m-%d}"
        who = Text(harmless(entry.who), style="cyan" if entry.who.startswith(OPERATOR[:-1]) else "")
        table.add_row(when, lasted(entry.since_before_s), who, what, where)
    return table


def _when(at: datetime, day: str, out: Console) -> str:
    """For a person, the day only where it changes: the words need the room."""
    if not out.is_terminal:
        return clock(at)
    return f"{at:%H:%M:%S}" if f"{at:%Y-%m-%d}" == day else f"{at:%Y-%m-%d\n%H:%M:%S}"


def show_user(found: UserOrders, currency: str, out: Console) -> None:
    erased = "   erased: nobody's name is left" if found.is_erased else ""
    out.print(
        Text.assemble(
            (f"User {found.user_id}", "bold"),
            f"   {found.total} {'order' if found.total == 1 else 'orders'}{erased}",
        )
    )
    if not found.orders:
        return
    table = table_for(out)
    for heading in ("Started (UTC)", "Order"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Amount", justify="right", no_wrap=True)
    for heading in ("Status", "Saga"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Unusual")
    for line in found.orders:
        place = (clock(line.started_at), line.order_id, money(line.amount, currency))
        unusual = Text("; ".join(line.unusual), style="red" if line.unusual else "")
        table.add_row(*place, STATUS_WORDS[line.status], line.step, unusual)
    out.print(table)
    if found.total > len(found.orders):
        out.print(f"{len(found.orders)} shown; --limit shows more.")
