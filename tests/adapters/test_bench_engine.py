"""The shapes of the engine's bench, on a shop with few goods, and the books that are looked at afterwards."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest

from adapters.embedded_servers import EmbeddedServers
from adapters.postgres_migrate import migrate
from adapters.retail_file import read_retail, slice_path
from adapters.settings import Settings, load_settings, only_embedded
from benchmarks.engine import EngineAsked, engine_round
from benchmarks.engine_books import check_books
from benchmarks.engine_shapes import SHAPES, Basket, Shape, basket_of, shape_named
from benchmarks.peers.figures import Figures
from domain.cart import CartLine
from domain.goods import CreateGoods

GOODS = [CreateGoods(number, f"goods {number}", 100) for number in range(1, 8)]
BASKETS: tuple[Basket, ...] = (
    basket_of([1, 2]),
    tuple(CartLine(number, number, checked=True) for number in range(1, 8)),
)
TWO = Shape(GOODS, lambda number: BASKETS[number % 2], trial=2_000)
NONE_LEFT = Shape(GOODS, lambda _: BASKETS[0], gone=frozenset({1, 2}), trial=20)
SECONDS = 0.5


@pytest.fixture
def settings(fresh_database: str, data_folder: Path) -> Iterator[Settings]:
    """Of a shop with a broker of its own: its streams have the names that every shop's have."""
    with EmbeddedServers(data_folder, postgres=False) as servers:
        addresses = {"shared_dsn": fresh_database, "nats_url": servers.nats_url}
        settings = only_embedded(load_settings(), data_folder).model_copy(update=addresses)
        migrate(settings)
        yield settings


def rounded(settings: Settings, shape: Shape) -> Figures:
    return asyncio.run(engine_round(settings, EngineAsked("test", 8, SECONDS), shape))


def test_lines_are_counted_and_every_order_took_what_its_basket_says(settings: Settings) -> None:
    figures = rounded(settings, TWO)
    assert figures.orders > 8
    # The baskets are ordered in turn, so half of them, give or take one, have two lines and half have seven.
    lines = figures.lines_per_s * figures.seconds
    assert lines == pytest.approx(figures.orders * 4.5, abs=8 * 7)


def test_refusals_are_counted_and_whoever_is_refused_asks_again(settings: Settings) -> None:
    figures = rounded(settings, NONE_LEFT)
    assert figures.orders > NONE_LEFT.trial
    assert figures.lines_per_s == 0


def test_a_round_in_which_nothing_is_sold_out_refuses_nothing(settings: Settings) -> None:
    nothing = Shape(GOODS, lambda _: (CartLine(1, 200_000_000, checked=True),), trial=100)
    with pytest.raises(AssertionError, match=r"^0 placed, \d+ refused"):
        rounded(settings, nothing)


def test_a_round_in_which_all_is_sold_out_places_nothing(settings: Settings) -> None:
    wrong = Shape(GOODS, lambda _: basket_of([3, 4]), gone=frozenset({1, 2}), trial=2_000)
    with pytest.raises(AssertionError, match=r"^\d+ placed, 0 refused"):
        rounded(settings, wrong)


def test_books_that_differ_from_what_was_answered_are_told(settings: Settings) -> None:
    rounded(settings, TWO)
    dsn = settings.dsn("order") or ""
    placed = sold_by(dsn)
    check_books(dsn, placed, [], [])
    one = next(iter(placed))
    missing = {key: basket for key, basket in placed.items() if key != one}
    more = {**placed, one: (CartLine(1, 9, checked=True), *placed[one][1:])}
    with pytest.raises(AssertionError, match="OrderPlaced"):
        check_books(dsn, missing, [], [])
    with pytest.raises(AssertionError, match="OrderPlaced"):
        check_books(dsn, {**placed, "1": BASKETS[0]}, [], [])
    with pytest.raises(AssertionError, match="other units"):
        check_books(dsn, more, [], [])
    with pytest.raises(AssertionError, match="SellDenied"):
        check_books(dsn, placed, ["1"], [])
    with pytest.raises(AssertionError, match="sold out"):
        check_books(dsn, placed, [], [3])


def sold_by(dsn: str) -> dict[str, Basket]:
    """What each order took, as its sale says."""
    query = """
        SELECT originator_id, convert_from(state, 'UTF8')::json -> 'data' -> 'lines'
        FROM inventory.events WHERE topic = 'Sold'
    """
    with psycopg.connect(dsn) as connection:
        return {
            name.removeprefix("sale-"): tuple(CartLine(**line, checked=True) for line in lines)
            for name, lines in connection.execute(query.encode())
        }


def test_retail_orders_the_invoices_of_the_file_in_its_order_round_and_round() -> None:
    shape = shape_named("retail")
    plan = read_retail(slice_path())
    names = {goods.goods_id: (goods.name, goods.price) for goods in shape.goods}
    for number, order in enumerate(plan.orders):
        bought = [(*names[line.goods_id], line.nums) for line in shape.basket(number)]
        kinds = [plan.goods[place] for place, _ in order.lines]
        asked = [(each.name, each.unit_price_pence) for each in kinds]
        assert bought == [(*each, nums) for each, (_, nums) in zip(asked, order.lines, strict=True)]
        assert shape.basket(number + len(plan.orders)) == shape.basket(number)


@pytest.mark.parametrize("name", SHAPES)
def test_every_shape_wants_goods_that_are_on_the_shelf(name: str) -> None:
    shape = shape_named(name)
    ids = [each.goods_id for each in shape.goods]
    wanted = {line.goods_id for number in range(100) for line in shape.basket(number)}
    assert ids == list(range(1, len(ids) + 1))
    assert wanted <= set(ids)
    assert shape.gone in (set(), wanted)
