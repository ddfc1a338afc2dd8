"""Whether the engine's logs agree with what it answered, order by order and unit by unit."""

from collections import Counter, defaultdict
from collections.abc import Collection, Mapping
from typing import Final

import psycopg

from benchmarks.engine_shapes import Basket
from domain import streams

_PLACED: Final = """SELECT originator_id FROM "order".events WHERE topic = 'OrderPlaced'"""
_DENIED: Final = """SELECT originator_id FROM "order".events WHERE topic IN ('SellDenied', 'StartDenied')"""
_ASKED: Final = """SELECT originator_id FROM "order".events WHERE topic = 'SellDenied'"""
_SOLD: Final = "SELECT originator_id FROM inventory.events WHERE topic = 'Sold'"
_REFUSED: Final = "SELECT originator_id FROM inventory.events WHERE topic = 'SellRefused'"

_UNITS: Final = """
SELECT data ->> 'order_id', originator_id, (data ->> 'nums')::int
FROM (SELECT originator_id, convert_from(state, 'UTF8')::json -> 'data' AS data
      FROM inventory.events WHERE topic = 'StockSold') AS sold
"""
_LEFT: Final = """
SELECT DISTINCT ON (originator_id) (convert_from(state, 'UTF8')::json -> 'data' ->> 'on_hand')::bigint
FROM inventory.events WHERE originator_id = ANY(%s) ORDER BY originator_id, originator_version DESC
"""


def check_books(
    dsn: str, placed: Mapping[str, Basket], refused: Collection[str], gone: Collection[int]
) -> None:
    """`placed`: by order id. `gone`: goods of which nothing was left before and is left now.

    Raises AssertionError when an order that was answered is not there, when one is there that was not, when
    an order took other units than its basket's, or when something is left of what was sold out.
    """
    with psycopg.connect(dsn) as connection:
        asked = _keys(connection, _ASKED)
        for query, answered in ((_PLACED, placed), (_SOLD, placed), (_DENIED, refused), (_REFUSED, asked)):
            there = Counter(_keys(connection, query))
            assert there == Counter(list(answered)), f"{len(answered)} answered, {there.total()} by {query}"
        assert _units_by_order(connection) == {key: _units(basket) for key, basket in placed.items()}, (
            "an order took other units than its basket's"
        )
        names = [streams.stock(each) for each in gone]
        left = [level for (level,) in connection.execute(_LEFT, (names,))]
    assert left == [0] * len(names), f"of what is sold out there are {left}"


def _keys(connection: psycopg.Connection, query: str) -> list[str]:
    return [streams.key_of(name) for (name,) in connection.execute(query)]


def _units_by_order(connection: psycopg.Connection) -> Mapping[str, Counter[int]]:
    """Units by goods; a goods that was sold twice to one order counts twice."""
    sold: defaultdict[str, Counter[int]] = defaultdict(Counter)
    for order_id, name, nums in connection.execute(_UNITS):
        sold[order_id][int(streams.key_of(name))] += nums
    return sold


def _units(basket: Basket) -> Counter[int]:
    return Counter({line.goods_id: line.nums for line in basket})
