"""The shop of `docs/night-shift.md`: one order in each state that somebody is woken for.

`python -m tests.adapters.night_shop DSN` writes the answers into the page anew, from a fresh database.
"""

import hashlib
import re
import sys
from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta
from pathlib import Path
from typing import Final

import psycopg
from typer.testing import CliRunner

from adapters import cli
from adapters.postgres_due import SCHEMA
from adapters.postgres_migrate import migrate
from adapters.postgres_projection import PostgresProjection
from adapters.postgres_read_schema import create_read_tables
from adapters.settings import Settings
from domain.cart import CartLine, PutCartLine
from domain.order import Payment, PayOrder
from domain.saga import NoteResend
from domain.services import INVENTORY, ORDER, USER
from domain.stock import AdjustStock
from domain.user import EraseUser, RegisterUser, Role
from projections import PROJECTIONS
from projections.order_saga import ORDER_SAGA
from tests.adapters.stored_history import append
from tests.shop_history import PAYMENT_WINDOW, ShopHistory

PAGE: Final = Path(__file__).parents[2] / "docs" / "night-shift.md"

READ: Final = "read"

PARKED: Final = b'{"v": 1, "type": "Sold", "items": [{"order_id": "105", "lines": [{"goods_id": 12, "nums": 2'
PARK: Final = """
INSERT INTO "order".parked (place, subject, reason, size, sha256, data, at, last_at) VALUES
    ('tillroll_reply:31', 'tillroll.reply.order.Sold.3', 'not JSON: input data was truncated',
    %s, %s, %s, %s, %s)
"""


def night_shop() -> ShopHistory:
    """101 paid, 102 to pay, 103 refused, 104 lapsed and paid too late, 105 hangs, 106 took the last unit."""
    shop = ShopHistory()
    shop.tell(USER, RegisterUser(9, "sealed", "digest-9", "sealed", None, Role.CUSTOMER, "hash"), "user-9")
    shop.stocked(12, 40)
    shop.stocked(13, 3, price=1299)
    shop.stocked(14, 1, price=9900)
    shop.placed("101", [(12, 3), (13, 1)])
    shop.paid("101")
    shop.placed("106", [(14, 1)], user_id=9)
    shop.paid("106")
    shop.placed("104", [(12, 5)], user_id=8)
    shop.now += timedelta(seconds=131)
    shop.tell(INVENTORY, AdjustStock(12, -2, "broken in the store room", goods_exist=True), "user-3")
    shop.now += PAYMENT_WINDOW
    shop.lapsed("104")
    shop.rolled_back("104")
    shop.tell(ORDER, PayOrder("104", Payment("alipay", "T-104", 1250, shop.now)), "user-3")
    shop.placed("103", [(13, 5)], user_id=8)
    shop.tell(USER, EraseUser(9, "digest-9"), "operator-mary")
    shop.placed("102", [(13, 1)])
    hanging(shop)
    return shop


def hanging(shop: ShopHistory) -> None:
    """Inventory does not answer, however often it is asked."""
    shop.started("105", [(12, 2)], user_id=8)
    for pause_s in (2, 4, 8):
        shop.tell(ORDER, NoteResend("105", shop.now, "inventory has not answered Sell"), "watchdog")
        shop.now += timedelta(seconds=pause_s)


def stored(shop: ShopHistory, dsn: str) -> None:
    """In a database as `tillroll migrate` makes it; two events came after the read models were brought up."""
    migrate(Settings(shared_dsn=dsn))
    create_read_tables(dsn)
    with psycopg.connect(dsn) as connection:
        for log, events in shop.logs.items():
            append(connection, log, events)
        now = shop.now
        digest = hashlib.sha256(PARKED).digest()
        connection.execute(PARK, (len(PARKED), digest, PARKED, now, now))
    lists = [(projection, READ) for projection in PROJECTIONS]
    for projection, schema in (*lists, (ORDER_SAGA, SCHEMA)):
        with PostgresProjection(projection, log_dsn=dsn, read_dsn=dsn, schema=schema) as live:
            while live.advance():
                pass
    known = len(shop.logs["order"])
    for nums in (1, 2):
        shop.tell(ORDER, PutCartLine(8, CartLine(12, nums, checked=True)), "user-8")
    with psycopg.connect(dsn) as connection:
        append(connection, "order", shop.logs["order"][known:])


@dataclass(frozen=True)
class Answer:
    """What one command of the page is shown to print, and how it ends."""

    command: str
    output: str
    exit_code: int


BLOCK: Final = re.compile(r"```console\n\$ tillroll (.*)\n((?:.*\n)*?)```\n(?:Exit code ([0-9])\.\n)?")
TAKES: Final = r"[0-9.]+ (?:ms|s|min|h|days?)(?: [0-9]+ (?:s|min|h))?"
VARYING: Final = (
    (re.compile(rf"(, for|overdue by|for|behind) {TAKES}"), r"\1 …"),
    (re.compile(r"[0-9]+ d [0-9]+ h"), "…"),
    (re.compile(r"catching up|no projector is moving it"), "behind"),
    (re.compile(r"(up to date|behind) +[0-9-]+ [0-9:]+"), r"\1 …"),
    (re.compile(r"\s+\n"), "\n"),
    (re.compile(r" {2,}"), "  "),
)
"""What depends on the hour of day, on how long ago the shop was made, or on how wide a column is."""


def answers(page: str) -> Iterator[Answer]:
    for block in BLOCK.finditer(page):
        yield Answer(block[1], block[2], int(block[3] or 0))


def shape(text: str) -> str:
    for pattern, instead in VARYING:
        text = pattern.sub(instead, text + "\n").strip()
    return text


def ask(command: str) -> tuple[str, int]:
    """Output and exit code of one command of the page."""
    words = re.findall(r"'[^']*'|\S+", command)
    result = CliRunner().invoke(cli.app, [word.strip("'") for word in words])
    return result.stdout + result.stderr, result.exit_code


def written(page: str) -> str:
    """The page with the answers of today."""

    def answered(block: re.Match[str]) -> str:
        output, code = ask(block[1])
        lines = "".join(f"{line.rstrip()}\n" for line in output.splitlines())
        end = f"Exit code {code}.\n" if code else ""
        return f"```console\n$ tillroll {block[1]}\n{lines}```\n{end}"

    return BLOCK.sub(answered, page)


if __name__ == "__main__":
    stored(night_shop(), sys.argv[1])
    PAGE.write_text(written(PAGE.read_text()))
