"""The book of one goods' stock in a terminal, for whoever asked by a number."""

from typing import Any, Final

import msgspec
from rich.console import Console
from rich.text import Text

from adapters.cli_reading import console, print_json, table_for
from adapters.story_ledger import Move, StockLedger
from adapters.story_words import clock, harmless

STYLES: Final = {"returned": "green", "adjusted": "cyan", "set": "cyan"}
"""Green: stock comes back. Cyan: by hand."""


def show_ledger(ledger: StockLedger, limit: int, *, as_json: bool) -> None:
    """All of it for a program; the last `limit` lines for a person."""
    if as_json:
        print_json(_plain(ledger))
    else:
        _show(ledger, ledger.moves[-limit:], console())


def _plain(ledger: StockLedger) -> Any:
    last = ledger.empty_since
    return {**msgspec.to_builtins(ledger), "last_unit": None if last is None else msgspec.to_builtins(last)}


def _show(ledger: StockLedger, moves: tuple[Move, ...], out: Console) -> None:
    then = f" at {clock(ledger.as_of)} UTC" if ledger.as_of else " now"
    name = f" {harmless(ledger.name)}" if ledger.name else ""
    out.print(Text.assemble((f"Goods {ledger.goods_id}{name}", "bold"), f"   {ledger.balance} on hand{then}"))
    last = ledger.empty_since
    if last is not None:
        whose = f"to order {last.order_id}" if last.order_id else f"by {last.by}: {harmless(last.reason)}"
        out.print(Text(f"Last unit  went {whose} at {clock(last.at)} UTC, inventory={last.position}"))
    table = table_for(out)
    for heading in ("When (UTC)", "What"):
        table.add_column(heading, no_wrap=True)
    for heading in ("Units", "On hand"):
        table.add_column(heading, justify="right", no_wrap=True)
    for heading in ("Order", "Who", "Why", "Log"):
        table.add_column(heading, no_wrap=heading in ("Order", "Log"))
    for move in moves:
        table.add_row(*_cells(move), style=STYLES.get(move.kind))
    out.print(table)
    if len(moves) < len(ledger.moves):
        out.print(f"The last {len(moves)} of {len(ledger.moves)} shown; --limit shows more.")
    wrong = next((move for move in ledger.moves if move.balance != move.on_hand), None)
    if wrong is not None:
        claim = f"inventory={wrong.position} claims {wrong.on_hand} on hand, added up it is {wrong.balance}"
        out.print(Text(f"THE BOOK DOES NOT ADD UP: {claim}; tillroll audit", style="bold red"))


def _cells(move: Move) -> tuple[Text | str, ...]:
    who, why = harmless(move.by.replace("-", " ", 1)), harmless(move.reason) or "-"
    place = Text(f"inventory={move.position}", style="dim")
    change = Text(f"{move.change:+}", style="bold red" if move.balance != move.on_hand else "")
    row = (clock(move.at), move.kind, change, str(move.balance), move.order_id or "-")
    return (*row, Text(who), Text(why), place)
