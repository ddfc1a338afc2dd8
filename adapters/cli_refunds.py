"""`tillroll replay refunds`: to whom money is owed back, and for which trade."""

from dataclasses import asdict
from pathlib import Path
from typing import Final

import typer
from rich.text import Text

from adapters.cli_reading import (
    DataOption,
    JsonOption,
    addresses,
    console,
    print_json,
    table_for,
    told_in_one_line,
)
from adapters.settings import load_settings
from adapters.story_find import refunds_due
from adapters.story_words import clock, harmless, money

DEFAULT_LIMIT: Final = 200


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("refunds")(replay_refunds)


def replay_refunds(
    limit: int = typer.Option(DEFAULT_LIMIT, "--limit", metavar="N", min=1, help="At most so many."),
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """Money that came for closed orders, the newest first: who must get how much back."""
    with told_in_one_line():
        currency = load_settings().currency
        found = refunds_due(addresses(data), limit)
    if as_json:
        print_json({"items": [asdict(refund) for refund in found], "currency": currency})
        return
    out = console()
    if not found:
        out.print("No money came for a closed order.")
        return
    table = table_for(out)
    for heading in ("Came (UTC)", "Order", "User"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Owed", justify="right", no_wrap=True)
    for heading in ("Trade", "By", "Log"):
        table.add_column(heading)
    for refund in found:
        user = str(refund.user_id) if refund.user_id else "-"
        owed = Text(money(refund.amount, currency), style="bold red")
        trade = (Text(harmless(refund.trade_id)), Text(harmless(refund.pay_type)))
        table.add_row(clock(refund.at), refund.order_id, user, owed, *trade, f"order={refund.position}")
    out.print(table)
    total = money(sum(refund.amount for refund in found), currency)
    out.print(f"{len(found)} shown, {total} in all; paying back is recorded where payments are, not here.")
