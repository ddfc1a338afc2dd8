"""Running a shop: starting, stopping, being killed, loading, auditing."""

import random
import signal
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import psycopg
import pytest

from adapters.embedded_servers import read_running
from adapters.retail_file import read_retail, slice_path

ORDERS = 60
KILLS = 2


def tillroll(up: Any, *arguments: str) -> subprocess.CompletedProcess[str]:
    """A command of the shop's owner, with the shop's settings."""
    command = [sys.executable, "-m", "adapters.cli", *arguments]
    return subprocess.run(
        command, env=up._environment, capture_output=True, text=True, timeout=120, check=False
    )


@pytest.fixture(scope="module")
def small_file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The rows of the slice's first invoices."""
    import gzip

    rows = gzip.decompress(slice_path().read_bytes()).decode().splitlines(keepends=True)
    invoices: dict[str, None] = {}
    kept = [rows[0]]
    for row in rows[1:]:
        invoices.setdefault(row.partition(",")[0])
        if len(invoices) > ORDERS:
            break
        kept.append(row)
    path = tmp_path_factory.mktemp("retail") / "small.csv"
    path.write_text("".join(kept))
    return path


def books(data: Path) -> tuple[int, int, int, int]:
    """Orders, paid pence, units on hand, and orders not paid, straight from SQL."""
    with psycopg.connect(read_running(data).dsn or "") as conn:
        row = conn.execute(
            "SELECT count(*), coalesce(sum(order_mount), 0)::bigint, (SELECT sum(sticks)::bigint"
            " FROM read.inventory), count(*) FILTER (WHERE status <> 2) FROM read.order_info"
        ).fetchone()
    assert row is not None
    return row


def test_a_load_that_is_killed_again_and_again_ends_with_the_same_books(
    up_factory: Any, small_file: Path
) -> None:
    plan = read_retail(small_file)
    up = up_factory()
    for _ in range(KILLS):
        url = up.start()
        loading = subprocess.Popen(
            [sys.executable, "-m", "adapters.cli", "load", str(small_file), "--url", url],
            env=up._environment,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
        )
        time.sleep(random.uniform(0.5, 4.0))
        up.end(signal.SIGKILL)
        # It would wait two minutes for its server, and a new one comes up on another port.
        loading.kill()
        loading.wait()

    done = tillroll(up, "load", str(small_file), "--url", up.start())

    assert done.returncode == 0, done.stderr
    assert books(up.data) == (len(plan.orders), plan.revenue_pence, 0, 0)
    audit = tillroll(up, "audit", "--data", str(up.data))
    assert audit.returncode == 0, audit.stdout
    assert up.end() == 0


def test_a_second_up_on_the_same_folder_says_so(shop_url: str, up_factory: Any) -> None:
    up = up_factory()
    up.start()

    second = tillroll(up, "up", "--port", "0", "--data", str(up.data))

    assert second.returncode == 1
    assert f"the data folder {up.data} is in use by process {up.process.pid}" in second.stderr
    assert "Traceback" not in second.stderr
    assert up.end() == 0


def test_a_taken_port_is_named(up_factory: Any, shop_url: str) -> None:
    port = shop_url.rpartition(":")[2]

    failed = tillroll(up_factory(), "up", "--port", port)

    assert failed.returncode == 1
    assert f"cannot listen on 127.0.0.1 port {port}" in failed.stderr
