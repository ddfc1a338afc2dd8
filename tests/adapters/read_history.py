"""A shop with something in every read model, and how to page through it."""

from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from uuid import uuid4

import psycopg
from psycopg import conninfo
from psycopg.sql import SQL, Identifier

from adapters.postgres_queries import Item, Page
from domain.cart import CartLine, ReplaceCart
from domain.goods import CreateGoods, DeleteGoods
from domain.sale import Rollback
from domain.services import GOODS, INVENTORY, ORDER, USER
from domain.user import RegisterUser, Role
from tests.adapters.stored_history import store
from tests.databases import drop_database
from tests.shop_history import ShopHistory

NAMES = ("Red mug", "RED MUG, large", "red cup", "Éclair tray", "éclair fork", "50%_off", "50 off")


def history() -> ShopHistory:
    """Orders 901 to 920 of users 7 and 8: to pay, paid, closed; one refused, one begun; goods 12 deleted."""
    shop = ShopHistory()
    shop.tell(USER, RegisterUser(7, "sealed", "digest", "sealed-name", None, Role.STAFF, "hash"))
    for goods_id in (11, 12):
        shop.stocked(goods_id, units=30)
    for number in range(1, 21):
        order_id = str(900 + number)
        shop.placed(order_id, [(12, 1), (11, 1)], user_id=7 + number % 2)
        if number % 3 == 0:
            shop.paid(order_id)
        if number % 5 == 0 and number % 3:
            shop.cancelled(order_id)
    shop.started("999", [(11, 500)])
    shop.sold("999")
    shop.started("950", [(11, 2)], user_id=9)
    cart = (CartLine(12, 2, checked=True), CartLine(11, 1, checked=False))
    shop.tell(ORDER, ReplaceCart(9, cart))
    shop.tell(INVENTORY, Rollback("777"))
    shop.tell(GOODS, DeleteGoods(12))
    for number, name in enumerate(NAMES):
        shop.tell(GOODS, CreateGoods(20 + number, name, 100 + number))
    return shop


SHOP = history()


@contextmanager
def database_with(shop: ShopHistory, postgres_dsn: str) -> Iterator[str]:
    """A database of its own for a module's tests, which only read, or add what others do not look at."""
    name = f"test_queries_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(SQL("CREATE DATABASE {}").format(Identifier(name)))
        address = conninfo.make_conninfo(postgres_dsn, dbname=name)
        store(shop, address)
        yield address
        drop_database(owner, name)


async def all_pages(page: Callable[[str | None], Awaitable[Page]]) -> list[Item]:
    items, cursor = await page(None)
    while cursor:
        more, cursor = await page(cursor)
        assert more
        items += more
    return items
