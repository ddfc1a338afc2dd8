"""The read models as of a moment in the middle of a load, against sums over the file that was loaded."""

import csv
import gzip
import json
import subprocess
import sys
import threading
import time
from collections import Counter, defaultdict
from datetime import UTC, datetime
from importlib.resources import files
from pathlib import Path
from typing import Any, Final

import psycopg
import pytest

from adapters.embedded_servers import read_running

INVOICES: Final = 120


class File:
    """What the file says, in code of its own: units by price and invoice, and what each invoice comes to."""

    def __init__(self, path: Path) -> None:
        self.units: defaultdict[str, Counter[int]] = defaultdict(Counter)
        self.pence: Counter[str] = Counter()
        with path.open(newline="") as text:
            for row in csv.DictReader(text):
                units, price = int(row["quantity"]), int(row["unit_price_pence"])
                # Invoices of an A are adjustments of the books, not sales.
                is_sold = row["kind"] == "sale" and not row["invoice"].startswith("A")
                if is_sold and units > 0 and price > 0:
                    self.units[row["invoice"]][price] += units
                    self.pence[row["invoice"]] += units * price

    def revenue(self, invoices: set[str]) -> int:
        return sum(self.pence[invoice] for invoice in invoices)

    def stock(self, sold: set[str]) -> dict[int, int]:
        """Units on hand by price: the load begins with exactly what all invoices together need."""
        left: Counter[int] = Counter()
        for invoice, units in self.units.items():
            left.update(dict.fromkeys(units, 0) if invoice in sold else units)
        return dict(left)


@pytest.fixture(scope="module")
def sold_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The first invoices of the shipped data."""
    path = tmp_path_factory.mktemp("data") / "orders.csv"
    packed = files("adapters").joinpath("data", "retail_slice.csv.gz").read_bytes()
    rows = gzip.decompress(packed).decode().splitlines(keepends=True)
    seen: dict[str, None] = {}
    kept = [rows[0]]
    for row in rows[1:]:
        seen.setdefault(row.partition(",")[0])
        if len(seen) > INVOICES:
            break
        kept.append(row)
    path.write_text("".join(kept))
    return path


def test_a_moment_in_a_load_gives_what_the_file_gives(up_factory: Any, sold_file: Path) -> None:
    up = up_factory()
    url = up.start()
    moments: list[datetime] = []
    loading = subprocess.Popen(
        [sys.executable, "-m", "adapters.cli", "load", str(sold_file), "--url", url],
        env=up._environment,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    dsn = read_running(up.data).dsn
    assert dsn is not None
    watcher = threading.Thread(target=note_moments, args=(dsn, moments))
    watcher.start()
    assert loading.wait(300) == 0
    watcher.join()
    check_moment(up, dsn, File(sold_file), moments[0])
    told = tillroll(up, "replay", "diff", "--json")
    assert json.loads(told.stdout)["comparison"]["same"] is True


def note_moments(dsn: str, moments: list[datetime]) -> None:
    """When half of the orders are paid, and others under way."""
    with psycopg.connect(dsn, autocommit=True) as connection:
        while paid(connection, "read") < INVOICES // 2:
            time.sleep(0.01)
        moments.append(datetime.now(UTC))


def paid(connection: psycopg.Connection, schema: str) -> int:
    query = f"SELECT count(*) FROM {schema}.order_info WHERE status = 2"
    row = connection.execute(query).fetchone()
    assert row is not None
    return int(row[0])


def check_moment(up: Any, dsn: str, file: File, moment: datetime, schema: str = "noon") -> None:
    told = tillroll(up, "replay", "rebuild", "--until", moment.isoformat(), "--into", schema, "--json")
    assert told.returncode == 0, told.stderr
    with psycopg.connect(dsn, autocommit=True) as connection:
        # A trade id names the invoice; those that were paid later got theirs later.
        invoices = {
            order_id: trade_id.rpartition("-")[2]
            for order_id, trade_id in connection.execute("SELECT order_id, trade_id FROM read.order_info")
        }
        asked = {
            name: connection.execute(text.replace("THEN", schema)).fetchall() for name, text in AS_OF.items()
        }
        placed = {invoices[order_id] for (order_id,) in asked["placed"]}
        sold = {invoices[order_id] for (order_id,) in asked["sold"]}
        was_paid = {invoices[order_id] for (order_id,) in asked["paid"]}
    assert INVOICES // 2 <= len(was_paid) <= len(placed) <= len(sold) < len(file.pence)
    assert asked["revenue"] == [(file.revenue(was_paid),)]
    assert asked["amount"] == [(file.revenue(placed),)]
    assert {price: units for price, units in asked["stock"] if units} == {
        price: units for price, units in file.stock(sold).items() if units
    }


AS_OF: Final = {
    "placed": "SELECT order_id FROM THEN.order_info",
    "paid": "SELECT order_id FROM THEN.order_info WHERE status = 2",
    "sold": "SELECT order_id FROM THEN.stock_sell_detail WHERE status = 1",
    "revenue": "SELECT sum(order_mount)::bigint FROM THEN.order_info WHERE status = 2",
    "amount": "SELECT sum(order_mount)::bigint FROM THEN.order_info",
    "stock": "SELECT goods.price, sum(inventory.sticks)::bigint FROM THEN.inventory"
    " JOIN THEN.goods ON goods.id = inventory.goods_id GROUP BY 1",
}


def tillroll(up: Any, *words: str) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "adapters.cli", *words, "--data", str(up.data)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)
