"""What a run says of itself: a table for a person, JSON for a program, and rows for docs/faults.md."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Final

from rich import box
from rich.console import Console
from rich.table import Table

from tests.chaos.chaos import Result
from tests.chaos.faults import EVERY

BEGIN: Final = "<!-- chaos: begin -->"
END: Final = "<!-- chaos: end -->"
TITLE: Final = "# Faults"

FIGURES: Final = {
    "orders_decided": "orders decided",
    "accepted": "placed",
    "paid": "paid",
    "refused": "refused as short of stock",
    "given_up": "given up before they were placed",
    "never_started": "never started",
    "cancelled": "cancelled",
    "lapsed": "lapsed unpaid",
    "refunds_due": "payments recorded as a refund due",
    "requests": "requests",
    "requests_sent_again": "requests sent again",
    "own_exits": "processes that ended by themselves and were started again",
    "kills": "kills",
    "wipes": "broker wipes",
    "peace_s": "seconds from the last fault until every saga was at its end",
}

TAKEN: Final = {
    "stored dropped": "COMMIT answers of appends and",
    "commit dropped": "other COMMIT answers,",
    "pub ack dropped": "PubAcks,",
    "ack dropped": "acks,",
    "delivery dropped": "deliveries and",
    "publish dropped": "messages on their way in;",
    "publish doubled": "messages arrived twice and",
    "reset": "connections were reset.",
}
"""What the proxies count, as one sentence."""


def show(result: Result, out: Console) -> None:
    """The run for a person."""
    figures = Table("figure", "how many", box=box.SIMPLE_HEAD)
    told = asdict(result)
    for name, words in FIGURES.items():
        figures.add_row(words, f"{told[name]:,}")
    out.print(figures)
    faults = Table("fault", "how it is injected", "how often", box=box.SIMPLE_HEAD)
    for fault in EVERY:
        faults.add_row(fault.name, fault.how, str(result.faults.get(fault.name, 0)))
    out.print(faults)
    promises = Table("promise", "violations", box=box.SIMPLE_HEAD)
    for name, count in result.violations.items():
        promises.add_row(name, str(count), style="bold red" if count else "")
    out.print(promises)
    for promise, broken in result.broken.items():
        for sentence in broken:
            out.print(f"{promise}: {sentence}", highlight=False, markup=False, soft_wrap=True)


def write_json(result: Result, path: Path) -> None:
    body = {**asdict(result), "clean": result.is_clean}
    path.write_text(json.dumps(body, indent=1) + "\n")


def write_rows(result: Result, path: Path) -> None:
    """Rewrites the part of the page between the two markers; makes the page if there is none."""
    text = path.read_text() if path.exists() else f"{TITLE}\n\n{BEGIN}\n{END}\n"
    if BEGIN not in text or END not in text:
        text = f"{text.rstrip()}\n\n{BEGIN}\n{END}\n"
    before, _, rest = text.partition(BEGIN)
    after = rest.partition(END)[2]
    path.write_text(f"{before}{BEGIN}\n{rows(result)}{END}{after}")


def rows(result: Result) -> str:
    """The words and the table. No fault has violations of its own: all were at work at once."""
    found = sum(result.violations.values())
    lines = [
        f"`make chaos MINUTES={result.minutes:g} SEED={result.seed}`: {result.orders_decided:,} orders"
        f" decided ({result.accepted:,} placed, {result.paid:,} paid, {result.refused:,} refused,"
        f" {result.given_up:,} given up, {result.cancelled:,} cancelled, {result.lapsed:,} lapsed),"
        f" {result.kills:,} kills, {result.wipes:,} broker wipes; every saga was at its end"
        f" {result.peace_s:.0f} s after the last fault.",
        "",
        f"Checked by `tillroll audit` and, in plain SQL and Python, against what {result.requests:,} requests"
        " were answered: " + "; ".join(f"{name}: {count}" for name, count in result.violations.items()) + ".",
        "",
        "| fault | how it is injected | how often | violations |",
        "|---|---|---|---|",
    ]
    for fault in EVERY:
        lines.append(f"| {fault.name} | {fault.how} | {result.faults.get(fault.name, 0)} | {found} |")
    lines += [
        "",
        "The proxies took away "
        + " ".join(f"{result.dropped.get(name, 0):,} {words}" for name, words in TAKEN.items()),
    ]
    return "\n".join(lines) + "\n"
