"""What is asked of read models of a size: every list's first page and pages deep in it, an order, a cart."""

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from adapters.cursors import write_cursor
from adapters.postgres_queries import Queries
from adapters.saga_rows import SagaFilter
from benchmarks.pages_fill import MANY_ORDERS_USER, Size, order_id, since

LIMIT: Final = 20
TO_PAY: Final = 1
PAID: Final = 2
Q: Final = "red mug"
ONE_ORDER: Final = "one order with its goods"

Ask = Callable[[Queries, Size, Random], Awaitable[Any]]


@dataclass(frozen=True, slots=True)
class Question:
    """`ask` asks once, somewhere else each time."""

    what: str
    page: str
    ask: Ask


def _orders(user_id: int | None, status: int | None) -> Ask:
    """A page that begins at an order of the older half."""

    def ask(queries: Queries, size: Size, chance: Random) -> Awaitable[Any]:
        question = f"orders user_id={user_id} status={status}"
        cursor = write_cursor(question, (order_id(_early(size, chance)),))
        return queries.orders_page(user_id, status, LIMIT, cursor)

    return ask


def _first_orders(user_id: int | None, status: int | None) -> Ask:
    return lambda queries, _, __: queries.orders_page(user_id, status, LIMIT, None)


def _orders_of_anybody(status: int | None) -> Ask:
    return lambda queries, size, chance: queries.orders_page(_user(size, chance), status, LIMIT, None)


def _sagas(which: SagaFilter) -> Ask:
    """A page that begins at a saga of the later half: the oldest come first."""

    def ask(queries: Queries, size: Size, chance: Random) -> Awaitable[Any]:
        number = size.orders - _early(size, chance)
        cursor = write_cursor(f"sagas {which}", (since(number), order_id(number)))
        return queries.sagas_page(which, LIMIT, cursor)

    return ask


def _first_sagas(which: SagaFilter) -> Ask:
    return lambda queries, _, __: queries.sagas_page(which, LIMIT, None)


def _goods(queries: Queries, size: Size, chance: Random) -> Awaitable[Any]:
    cursor = write_cursor("goods", (chance.randint(size.goods // 2, size.goods - LIMIT),))
    return queries.goods_page(None, LIMIT, cursor)


def _goods_named(queries: Queries, size: Size, chance: Random) -> Awaitable[Any]:
    number = chance.randint(1, size.goods)
    cursor = write_cursor(f"goods q={Q}", (f"{Q} {number}", number))
    return queries.goods_page(Q, LIMIT, cursor)


def _order(queries: Queries, size: Size, chance: Random) -> Awaitable[Any]:
    return queries.order(str(order_id(chance.randint(1, size.orders))))


def _cart(queries: Queries, size: Size, chance: Random) -> Awaitable[Any]:
    return queries.cart(chance.randint(1, size.users))


def _user(size: Size, chance: Random) -> int:
    return 2 + chance.randrange(size.users)


def _early(size: Size, chance: Random) -> int:
    return chance.randint(size.orders // 10, size.orders // 2)


OWING: Final = SagaFilter()
STUCK: Final = SagaFilter(is_stuck=True)
OF_STEP: Final = SagaFilter(step="CLOSED")
OLDER: Final = SagaFilter(older_than_s=3600.0)

QUESTIONS: Final = (
    Question("own orders, of anybody", "1", _orders_of_anybody(None)),
    Question("own orders, of one who has 1 % of all", "1", _first_orders(MANY_ORDERS_USER, None)),
    Question("own orders, of one who has 1 % of all", "deep", _orders(MANY_ORDERS_USER, None)),
    Question("own orders that are paid, of anybody", "1", _orders_of_anybody(PAID)),
    Question("own orders that are paid, of one who has 1 %", "1", _first_orders(MANY_ORDERS_USER, PAID)),
    Question("own orders that are paid, of one who has 1 %", "deep", _orders(MANY_ORDERS_USER, PAID)),
    Question("all orders", "1", _first_orders(None, None)),
    Question("all orders", "deep", _orders(None, None)),
    Question("all orders that are paid (78 %)", "1", _first_orders(None, PAID)),
    Question("all orders that are paid (78 %)", "deep", _orders(None, PAID)),
    Question("all orders to pay (2 %)", "1", _first_orders(None, TO_PAY)),
    Question("all orders to pay (2 %)", "deep", _orders(None, TO_PAY)),
    Question("goods", "1", lambda queries, _, __: queries.goods_page(None, LIMIT, None)),
    Question("goods", "deep", _goods),
    Question("goods whose name begins so", "1", lambda queries, _, __: queries.goods_page(Q, LIMIT, None)),
    Question("goods whose name begins so", "deep", _goods_named),
    Question("sagas of one step", "1", _first_sagas(OF_STEP)),
    Question("sagas of one step", "deep", _sagas(OF_STEP)),
    Question("sagas that owe something", "1", _first_sagas(OWING)),
    Question("sagas that owe something", "deep", _sagas(OWING)),
    Question("the same, for more than an hour", "deep", _sagas(OLDER)),
    Question("sagas that are stuck", "1", _first_sagas(STUCK)),
    Question("sagas that are stuck", "deep", _sagas(STUCK)),
    Question(ONE_ORDER, "", _order),
    Question("a cart", "", _cart),
)
