"""The order as a DBOS workflow, called from threads. Runs in the environment of the peers.

    python -m benchmarks.peers.dbos_app --dsn DSN --executor 0 --threads 8 --sessions 8 --seconds 9 --shape S

`--sessions`: with the database, for its own tables and again as many for those of the shop.

Written as DBOS 3's own starter and its checkout example are: tables of SQLAlchemy, each database operation a
transaction of a datasource, the workflow an ordinary function, and what was done is undone when it fails.
Two settings are kinder to DBOS than its defaults: as many connections as there are threads, and READ
COMMITTED, which is enough because the stock is checked by the statement that takes it. SERIALIZABLE, the
default, was slower in each of three pairs of rounds where all want the same goods, and no slower spread.
"""
# mypy: disable-error-code="import-not-found, import-untyped, untyped-decorator, unused-ignore"
# DBOS and SQLAlchemy are not in the environment that is checked.

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

import sqlalchemy as sa
from dbos import DBOS, DBOSConfig, SQLAlchemyDatasource

from benchmarks.limit_shop import GOODS
from benchmarks.peers.callers import Calling, Place, call_when_told

READ_COMMITTED: Final = "READ COMMITTED"

metadata = sa.MetaData(schema="by_hand")
goods = sa.Table(
    "goods",
    metadata,
    sa.Column("goods_id", sa.Integer, primary_key=True),
    sa.Column("name", sa.Text),
    sa.Column("price", sa.BigInteger),
    sa.Column("stock", sa.Integer),
    sa.Column("version", sa.Integer),
)
sale = sa.Table(
    "sale",
    metadata,
    sa.Column("order_id", sa.BigInteger, primary_key=True),
    sa.Column("status", sa.SmallInteger),
    sa.Column("detail", sa.JSON),
)
order_info = sa.Table(
    "order_info",
    metadata,
    sa.Column("order_id", sa.BigInteger, primary_key=True),
    sa.Column("user_id", sa.Integer),
    sa.Column("status", sa.SmallInteger),
    sa.Column("amount", sa.BigInteger),
    sa.Column("address", sa.Text),
    sa.Column("signer_name", sa.Text),
    sa.Column("signer_mobile", sa.Text),
    sa.Column("post", sa.Text),
)
order_line = sa.Table(
    "order_line",
    metadata,
    sa.Column("id", sa.BigInteger, primary_key=True),
    sa.Column("order_id", sa.BigInteger),
    sa.Column("goods_id", sa.Integer),
    sa.Column("goods_name", sa.Text),
    sa.Column("goods_price", sa.BigInteger),
    sa.Column("nums", sa.Integer),
)
cart_line = sa.Table(
    "cart_line",
    metadata,
    sa.Column("user_id", sa.Integer, primary_key=True),
    sa.Column("goods_id", sa.Integer, primary_key=True),
    sa.Column("nums", sa.Integer),
    sa.Column("checked", sa.Boolean),
)
order_ids = sa.Sequence("order_ids", metadata=metadata)
CONTACT: Final = {
    "address": "1 High Street, London",
    "signer_name": "Ann Example",
    "signer_mobile": "07700 900000",
    "post": "leave at the door",
}


class SoldOut(Exception):
    """There is not enough of one goods."""


def shop(db: Any) -> Place:
    @db.transaction(isolation_level=READ_COMMITTED)
    def sell(wanted: list[int]) -> tuple[int, list[tuple[int, str, int]]]:
        """The order id, and id, name and price of each goods."""
        session = db.sql_session()
        order_id = session.scalar(order_ids)
        lines = []
        for goods_id in sorted(wanted):
            taken = session.execute(
                sa.update(goods)
                .where(goods.c.goods_id == goods_id, goods.c.stock >= 1)
                .values(stock=goods.c.stock - 1, version=goods.c.version + 1)
                .returning(goods.c.name, goods.c.price)
            ).first()
            if taken is None:
                raise SoldOut(goods_id)
            lines.append((goods_id, taken.name, taken.price))
        session.execute(sa.insert(sale).values(order_id=order_id, status=1, detail=sorted(wanted)))
        return order_id, lines

    @db.transaction(isolation_level=READ_COMMITTED)
    def write_order(order_id: int, user_id: int, lines: list[tuple[int, str, int]]) -> None:
        session = db.sql_session()
        amount = sum(price for _, _, price in lines)
        session.execute(
            sa.insert(order_info).values(
                order_id=order_id, user_id=user_id, status=1, amount=amount, **CONTACT
            )
        )
        session.execute(
            sa.insert(order_line),
            [
                {
                    "order_id": order_id,
                    "goods_id": goods_id,
                    "goods_name": name,
                    "goods_price": price,
                    "nums": 1,
                }
                for goods_id, name, price in lines
            ],
        )
        session.execute(
            sa.delete(cart_line).where(cart_line.c.user_id == user_id, cart_line.c.checked.is_(True))
        )

    @db.transaction(isolation_level=READ_COMMITTED)
    def give_back(order_id: int, wanted: list[int]) -> None:
        session = db.sql_session()
        for goods_id in sorted(wanted):
            session.execute(
                sa.update(goods)
                .where(goods.c.goods_id == goods_id)
                .values(stock=goods.c.stock + 1, version=goods.c.version + 1)
            )
        session.execute(sa.delete(sale).where(sale.c.order_id == order_id))

    @DBOS.workflow()
    def place_order(user_id: int, wanted: list[int]) -> int:
        order_id, lines = sell(wanted)
        try:
            write_order(order_id, user_id, lines)
        except Exception:
            give_back(order_id, wanted)
            raise
        return int(order_id)

    def place(user_id: int, one: int, other: int) -> None:
        place_order(user_id, [one, other])

    return place


def main(arguments: Sequence[str]) -> None:
    parser = argparse.ArgumentParser(description="Orders by a DBOS workflow.")
    parser.add_argument("--dsn", required=True)
    parser.add_argument("--executor", required=True)
    parser.add_argument("--threads", type=int, required=True)
    parser.add_argument("--sessions", type=int, required=True)
    parser.add_argument("--seconds", type=float, required=True)
    parser.add_argument("--shape", required=True)
    args = parser.parse_args(arguments)
    config: DBOSConfig = {
        "name": "shop",
        "system_database_url": args.dsn,
        "sys_db_pool_size": args.sessions,
        # At its start an executor takes up what it left unfinished, so each process needs its own name.
        "executor_id": f"shop-{args.executor}",
        "log_level": "WARNING",
    }
    DBOS(config=config)
    engine = {"pool_size": args.sessions, "max_overflow": 0}
    place = shop(SQLAlchemyDatasource.create(args.dsn, engine_kwargs=engine))
    DBOS.launch()
    try:
        call_when_told(place, Calling(args.threads, args.seconds, GOODS, args.shape == "hot"))
    finally:
        DBOS.destroy()


if __name__ == "__main__":
    main(sys.argv[1:])
