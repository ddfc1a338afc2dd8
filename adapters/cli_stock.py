"""`tillroll replay stock`: the level of one goods over time."""

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from itertools import chain
from pathlib import Path
from typing import Any, Final, Literal, NoReturn

import msgspec
import typer
from rich.console import Console
from rich.table import Table
from rich.text import Text

from adapters.cli_reading import (
    MAX_NUMBER,
    BadArgument,
    DataOption,
    JsonOption,
    addresses,
    console,
    is_number,
    moment_of,
    not_found,
    print_json,
    table_for,
    told_in_one_line,
)
from adapters.stock_columns import StockColumns
from adapters.stock_reading import StockStory, read_goods, read_stock
from adapters.story_words import clock, harmless
from domain.goods import UNKNOWN
from orchestrator.stock_story import ADJUSTED, RETURNED, SET, SOLD, LedgerLine

SHOWN_LINES: Final = 50
MAX_LINES: Final = 1_000_000
"""More than that nobody asks of a table; `tillroll replay export` writes whole logs into files."""

COLOURED_LINES: Final = 1_000
"""A table with colours takes a second for so many, and a hundred times the memory of its words."""

HEADINGS: Final = ("When (UTC)", "What", "Change", "On hand", "Who", "Order", "Why", "Log")
NUMBERS: Final = ("Change", "On hand")

BY_HAND: Final = {SET: "set it", ADJUSTED: "adjusted it", SOLD: "sold it", RETURNED: "took it back"}
KIND_STYLES: Final = {SET: "cyan", ADJUSTED: "magenta", SOLD: "default", RETURNED: "green"}


@dataclass(frozen=True, slots=True)
class StockAsk:
    """`at`: as of then, None for now. `limit`: lines, the newest. `plot`: an SVG file to draw into."""

    at: datetime | None = None
    limit: int = SHOWN_LINES
    plot: Path | None = None
    as_json: bool = False


def register(app: typer.Typer) -> None:
    """Adds the commands to the command line."""
    app.command("stock")(stock_command)


def stock_command(
    goods_id: str = typer.Argument(metavar="GOODS", help="The goods' id."),
    at: str | None = typer.Option(None, "--at", metavar="TIME", help="As of then: 2026-11-23T14:03:00Z."),
    limit: str = typer.Option(str(SHOWN_LINES), "--limit", metavar="N", help="The last N lines only."),
    plot: Path | None = typer.Option(None, "--plot", metavar="FILE.svg", help="Draw the level over time."),
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """The stock of one goods as a ledger, newest last: every setting, adjustment, sale and return.

    Exit code 0: shown, 1: the goods never had a stock, 2: could not run.
    """
    with told_in_one_line():
        known = _number(goods_id, "goods id", MAX_NUMBER)
        ask = StockAsk(moment_of("--at", at), _number(limit, "--limit", MAX_LINES), _svg(plot), as_json)
        show_stock(addresses(data), known, ask)


def show_stock(dsns: Mapping[str, str], goods_id: int, ask: StockAsk) -> None:
    """Prints the ledger, and draws it if asked to. Ends with exit code 1 when the goods had no stock by then.

    Raises LogUnreadable; BadArgument when the picture cannot be written.
    """
    columns = StockColumns()
    hear: Callable[[LedgerLine], None] = columns.hear if ask.plot else lambda _line: None
    story = read_stock(dsns, goods_id, at=ask.at, limit=ask.limit, hear=hear)
    if story is None:
        _no_stock(dsns, goods_id, ask.at)
    if ask.plot:
        _write(ask.plot, import_module("adapters.stock_plot").draw(goods_id, story, columns))
    if ask.as_json:
        print_json(_plain(goods_id, story))
    else:
        _show(goods_id, story, console())
    if ask.plot:
        typer.echo(f"Drawn into {ask.plot}", err=ask.as_json)


# what was typed


def _number(text: str, what: str, most: int) -> int:
    if not is_number(text) or int(text) > most:
        raise BadArgument(f"{what} {text[:40]!r}: expected a whole number from 1 to {most}")
    return int(text)


def _svg(path: Path | None) -> Path | None:
    if path is not None and path.suffix.lower() != ".svg":
        raise BadArgument(f"--plot {str(path)!r}: only SVG is drawn, so the name must end in .svg")
    return path


def _write(path: Path, picture: str) -> None:
    try:
        path.write_text(picture, encoding="utf-8")
    except OSError as error:
        raise BadArgument(f"--plot {str(path)!r} cannot be written: {error.strerror}") from error


def _no_stock(dsns: Mapping[str, str], goods_id: int, at: datetime | None) -> NoReturn:
    then = f" by {clock(at)} UTC" if at else ""
    known = read_goods(dsns, goods_id, at) != UNKNOWN
    what = (
        f"goods {goods_id} had no stock set{then}"
        if known
        else f"there is no stock of goods {goods_id}{then}"
    )
    not_found(what)


# what is printed


def _plain(goods_id: int, story: StockStory) -> dict[str, Any]:
    goods, totals = story.goods, msgspec.to_builtins(story.totals)
    return {
        "goods_id": goods_id,
        "name": goods.name,
        "deleted": goods != UNKNOWN and not goods.for_sale,
        "as_of": story.as_of,
        **totals,
        "left_out": story.left_out,
        "balance_before": story.balance_before,
        "lines": story.lines,
    }


def _show(goods_id: int, story: StockStory, out: Console) -> None:
    totals = story.totals
    then = f"on hand at {clock(story.as_of)} UTC" if story.as_of else "on hand now"
    out.print(Text.assemble((f"Goods {goods_id}", "bold"), f"   {_name(story)}"))
    out.print(
        Text.assemble(
            (f"{totals.on_hand} {then}", "bold"),
            f"   sold {totals.sold}   returned {totals.returned}   adjusted {totals.adjusted:+}",
            f"   set {totals.counted:+}   events {totals.events}",
            f"   last change {clock(totals.last.at)} UTC" if totals.last else "",
        )
    )
    if totals.last_unit:
        out.print(Text(f"Last unit went {_whither(totals.last_unit)}", style="yellow"))
    if totals.first_wrong:
        out.print(Text(_does_not_follow(story), style="bold red"))
    if story.left_out:
        out.print(Text(_left_out(story)))
    _show_lines(story, out)


def _name(story: StockStory) -> str:
    if story.goods == UNKNOWN:
        return "unknown to the goods log"
    return harmless(story.goods.name) + ("" if story.goods.for_sale else "   (deleted)")


def _whither(line: LedgerLine) -> str:
    by_hand = f"when {harmless(line.who)} {BY_HAND[line.kind]}"
    whose = f"to order {line.order_id}" if line.order_id else by_hand
    reason = f" ({harmless(line.reason)})" if line.reason else ""
    return f"{whose}{reason} at {clock(line.at)} UTC, inventory={line.position}"


def _left_out(story: StockStory) -> str:
    events, before = story.totals.events, story.balance_before
    everything = f"--limit {events} shows all" if events <= MAX_LINES else "tillroll replay export writes all"
    return f"{story.left_out} lines before these left out; {before} on hand then; {everything}"


def _does_not_follow(story: StockStory) -> str:
    first, wrong = story.totals.first_wrong, story.totals.wrong
    assert first is not None
    lines = "1 line does" if wrong == 1 else f"{wrong} lines do"
    return f"{lines} not follow from the quantities, first at inventory={first.position}: {first.wrong}"


def _show_lines(story: StockStory, out: Console) -> None:
    if len(story.lines) <= COLOURED_LINES:
        out.print(_table_of(story, out))
        return
    for row in _rows(story):
        typer.echo(row)


def _rows(story: StockStory) -> Iterator[str]:
    """The same columns without colours, a thousand times faster and a line at a time."""
    widths = [len(heading) for heading in HEADINGS]
    for line in story.lines:
        widths = list(map(max, widths, map(len, _words(line))))
    for words in chain([HEADINGS], map(_words, story.lines)):
        cells = map(_padded, words, widths, HEADINGS)
        yield "  ".join(cells).rstrip()


def _padded(word: str, width: int, heading: str) -> str:
    return word.rjust(width) if heading in NUMBERS else word.ljust(width)


def _table_of(story: StockStory, out: Console) -> Table:
    table = table_for(out)
    for heading in HEADINGS:
        justify: Literal["right", "left"] = "right" if heading in NUMBERS else "left"
        folds, widest = heading in ("Who", "Why"), heading == "Why" and out.is_terminal
        table.add_column(heading, justify=justify, no_wrap=not folds, ratio=1 if widest else None)
    for line in story.lines:
        table.add_row(*_cells(line), style="red" if line.wrong else "")
    return table


def _cells(line: LedgerLine) -> Iterator[Text]:
    styles = {"What": "" if line.wrong else KIND_STYLES[line.kind], "On hand": "bold", "Log": "dim"}
    for heading, word in zip(HEADINGS, _words(line), strict=True):
        yield Text(word, style=styles.get(heading, ""))


def _words(line: LedgerLine) -> tuple[str, ...]:
    return (
        clock(line.at),
        line.kind,
        f"{line.change:+}",
        f"{line.balance}, says {line.claimed}" if line.balance != line.claimed else str(line.balance),
        harmless(line.who),
        line.order_id,
        "; ".join(filter(None, (harmless(line.reason), line.wrong))),
        f"inventory={line.position}",
    )
