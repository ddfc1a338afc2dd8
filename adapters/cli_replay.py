"""`tillroll replay order`: what happened to an order, to goods, or to a user's orders."""

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import datetime
from importlib import import_module
from pathlib import Path
from typing import Annotated, Final

import msgspec
import typer

from adapters.cli_options import settings_with
from adapters.cli_reading import (
    BadArgument,
    DataOption,
    JsonOption,
    addresses,
    console,
    moment_of,
    not_found,
    print_json,
    told_in_one_line,
)
from adapters.cli_stock import MAX_LINES, StockAsk, show_stock
from adapters.cli_story import show_story, show_user
from adapters.ids import utc_now
from adapters.key_errors import KeyFileError
from adapters.order_story import Ask, read_story
from adapters.settings import load_settings
from adapters.story_find import (
    Asked,
    goods_exist,
    order_exists,
    orders_of_user,
    parse,
)
from adapters.story_trades import orders_of_trade
from adapters.story_words import money

DEFAULT_LIMIT: Final = 50

Id = Annotated[
    str,
    typer.Argument(
        metavar="ID",
        help="An order id, trade id, goods id or email; or order-N, goods-N, user-N, trade:X.",
    ),
]
AtOption = typer.Option(None, "--at", metavar="TIME", help="As of then: 2026-11-23T14:03:00Z.")
HtmlOption = typer.Option(None, "--html", metavar="FILE", help="Write an order's story as one page.")
LimitOption = typer.Option(DEFAULT_LIMIT, "--limit", metavar="N", min=1, help="At most so many lines.")


def register(app: typer.Typer) -> None:
    """Adds the command to the command line."""
    app.command("order")(replay_order)


@dataclass(frozen=True, slots=True)
class _How:
    """What was asked for besides the ID."""

    dsns: Mapping[str, str]
    currency: str
    at: datetime | None
    html: Path | None
    limit: int
    as_json: bool
    data: Path | None


def replay_order(
    wanted: Id,
    at: str | None = AtOption,
    html: Path | None = HtmlOption,
    limit: int = LimitOption,
    as_json: bool = JsonOption,
    data: Path | None = DataOption,
) -> None:
    """The story of one order, oldest first, what it waits for, and what may be done about it."""
    with told_in_one_line():
        asked, moment = parse(wanted), moment_of("--at", at)
        currency = load_settings().currency
        how = _How(addresses(data), currency, moment, html, limit, as_json, data)
        _tell(asked, how)


def _tell(asked: Asked, how: _How) -> None:
    match asked.kind:
        case "order":
            _order(asked.key, how)
        case "goods":
            _goods(asked.key, how)
        case "user":
            _user(int(asked.key), f"user {asked.key}", how)
        case "email":
            _email(asked.key, how)
        case "trade":
            _trade(asked.key, how)
        case _:
            _number(asked.key, how)


def _number(key: str, how: _How) -> None:
    """An order before goods before a trade, and the other meaning is named."""
    is_order, are_goods = order_exists(how.dsns, key), goods_exist(how.dsns, key)
    if is_order and are_goods:
        typer.echo(f"tillroll: {key} is an order and also goods; goods-{key} shows the goods", err=True)
    if is_order:
        _order(key, how)
    elif are_goods:
        _goods(key, how)
    elif orders := orders_of_trade(how.dsns, key):
        _orders(key, orders, how)
    else:
        not_found(f"there is no order {key}, and no goods or trade of that number")


def _order(key: str, how: _How) -> None:
    ask = Ask(utc_now(), how.at, lambda amount: money(amount, how.currency))
    story = read_story(how.dsns, key, ask)
    if story is None:
        not_found(f"there is no order {key}{_then(how)}")
    if how.html is not None:
        import_module("adapters.story_html").write_page(how.html, story, how.currency, ask.now)
        typer.echo(f"{how.html} written", err=True)
    if how.as_json:
        print_json({**msgspec.to_builtins(story), "currency": how.currency})
    elif how.html is None:
        show_story(story, how.currency, console())


def _goods(key: str, how: _How) -> None:
    _no_page(how, "goods", f"`tillroll replay stock {key} --plot FILE.svg` draws them")
    show_stock(how.dsns, int(key), StockAsk(how.at, min(how.limit, MAX_LINES), as_json=how.as_json))


def _user(user_id: int, name: str, how: _How) -> None:
    _no_page(how, "a user", "name one of their orders")
    if how.at is not None:
        raise BadArgument("--at tells of an order or of goods as of then, not of a user's list")
    found = orders_of_user(how.dsns, user_id, how.limit)
    if found is None:
        not_found(f"there is no {name}")
    if how.as_json:
        print_json({**msgspec.to_builtins(found), "currency": how.currency})
    else:
        show_user(found, how.currency, console())


def _email(address: str, how: _How) -> None:
    try:
        people = import_module("adapters.story_email")
        user_id = people.user_of_email(how.dsns, settings_with(how.data), address)
    except KeyFileError as error:
        raise BadArgument(f"an address is found with the key for personal data: {error}") from error
    if not user_id:
        not_found("nobody has this address")
    _user(user_id, f"user {user_id}", how)


def _trade(trade_id: str, how: _How) -> None:
    orders = orders_of_trade(how.dsns, trade_id)
    if not orders:
        not_found(f"no payment came with trade {trade_id}")
    _orders(trade_id, orders, how)


def _orders(trade_id: str, orders: tuple[str, ...], how: _How) -> None:
    several = f"trade {trade_id} stands at {len(orders)} orders: {', '.join(orders)}"
    if len(orders) > 1 and (how.as_json or how.html is not None):
        raise BadArgument(f"{several}; --json and --html tell of one: name it")
    if len(orders) > 1:
        typer.echo(f"tillroll: {several}", err=True)
    for order_id in orders[: how.limit]:
        _order(order_id, how)


def _no_page(how: _How, of: str, instead: str) -> None:
    if how.html is not None:
        raise BadArgument(f"--html writes the story of an order, not of {of}; {instead}")


def _then(how: _How) -> str:
    return "" if how.at is None else f" at {how.at:%Y-%m-%dT%H:%M:%SZ}"
