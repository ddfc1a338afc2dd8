"""`audit --since` over real tables: clean wherever it continues, reads what is new, says since when."""

import json
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from adapters import cli_audit, cli_stock
from adapters.audit_run import CannotAudit, audit
from domain.services import INVENTORY
from domain.stock import AdjustStock
from orchestrator.audit import Report
from tests.adapters.read_history import database_with
from tests.shop_history import ShopHistory

LOGS = ("order", "inventory", "goods", "user")


def history() -> ShopHistory:
    """Orders 1 to 6 of two goods, each way to end; goods 13 has by far the most events."""
    shop = ShopHistory()
    shop.stocked(12, 30)
    shop.stocked(13, 30, price=99)
    for number in range(1, 7):
        shop.placed(str(number), [(12, 1), (13, number)], user_id=7 + number % 2)
        shop.tell(INVENTORY, AdjustStock(13, 1, "found", goods_exist=True), "operator-ann")
    shop.paid("1")
    shop.cancelled("2", user_id=7)
    shop.rolled_back("2")
    shop.placed("8", [(12, 500)])
    shop.started("9", [(12, 1)])
    return shop


SHOP = history()
ENDS = {log: len(events) for log, events in SHOP.logs.items()}


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    with database_with(SHOP, postgres_dsn) as address:
        yield address


def audited(dsn: str, since: dict[str, int], *, redecides: bool = False) -> Report:
    return audit(dict.fromkeys((*LOGS, "read"), dsn), since=since, redecides=redecides)


def counts(report: Report) -> dict[str, int]:
    return {checked.check: checked.count for checked in report.checks}


@pytest.mark.parametrize("eighths", [1, 3, 6, 7, 8])
def test_a_clean_shop_is_clean_wherever_it_continues(dsn: str, eighths: int) -> None:
    """Also inside of a commit, and where one log was read further than the other."""
    for log, other in (("order", "inventory"), ("inventory", "order")):
        since = {log: ENDS[log] * eighths // 8, other: max(ENDS[other] * eighths // 8 - 3, 0), "goods": 2}
        report = audited(dsn, since, redecides=True)
        assert report.findings == ()
        assert since[log] - 8 < report.since[log] <= since[log]


def test_only_what_is_new_is_read_and_only_rows_of_what_it_touched(dsn: str) -> None:
    report = audited(dsn, ENDS | {"inventory": ENDS["inventory"] - 1})
    assert report.since == ENDS | {"inventory": ENDS["inventory"] - 1}
    assert counts(report)["log inventory"] == 1
    assert counts(report)["log order"] == 0
    assert counts(report)["read model stock_sell_detail"] == 1
    assert counts(report)["read model inventory"] == 0


def test_a_changed_row_is_found_where_its_stream_got_something_new(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute("UPDATE read.inventory SET sticks = sticks + 1 WHERE goods_id = 13")
        try:
            (finding,) = audited(dsn, {log: ENDS[log] * 3 // 4 for log in LOGS}).findings
            assert finding.subject == "inventory goods_id=13"
            assert audited(dsn, ENDS).is_clean, "nothing new, nothing looked at"
        finally:
            connection.execute("UPDATE read.inventory SET sticks = sticks - 1 WHERE goods_id = 13")


def test_a_read_model_that_was_set_back_is_looked_at_from_there(dsn: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        back = "UPDATE read.position SET position = %s WHERE projection = 'order_saga'"
        connection.execute(back, [5])
        try:
            report = audited(dsn, ENDS)
            assert report.since["order"] <= 5
            assert "order=5," in report.next_since
            assert not report.is_clean, "its rows are not those of then"
        finally:
            connection.execute(back, [ENDS["order"]])


@pytest.mark.parametrize(
    ("since", "said"),
    [
        ({"orders": 1}, "there is no log 'orders', only order, inventory, goods, user"),
        ({"order": 10_000}, f"order=10000 is not in its log, which ends at {ENDS['order']}"),
        ({"order": -1}, "order=-1 is not in its log"),
    ],
)
def test_positions_that_no_audit_reached_are_told(dsn: str, since: dict[str, int], said: str) -> None:
    with pytest.raises(CannotAudit, match=said):
        audited(dsn, since)


# the command


def tillroll(*words: str) -> Result:
    app = typer.Typer()
    cli_audit.register(app)
    cli_stock.register(app)
    return CliRunner().invoke(app, ["audit", *words])


@pytest.fixture
def _shop(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", dsn)


@pytest.mark.usefixtures("_shop")
def test_a_report_can_be_continued_by_its_file_and_by_its_text(tmp_path: Path) -> None:
    first = tillroll("--json")
    file = tmp_path / "audit.json"
    file.write_text(first.stdout)
    text = json.loads(first.stdout)["next_since"]
    assert text == ",".join(f"{log}={ENDS[log]}" for log in LOGS)
    for since in (text, str(file)):
        again = tillroll("--since", since)
        assert again.exit_code == 0, again.output
        assert f"0 events and 0 rows of read models after {text}, no findings" in again.stdout
        assert f"tillroll audit --since {text}" in again.stdout


@pytest.mark.usefixtures("_shop")
@pytest.mark.parametrize(
    ("since", "said"),
    [
        ("order=1,stock=2", "there is no log 'stock'"),
        ("order=-1", "'order=-1' is not a log and its position"),
        ("order=1,order=2", "'order=2' is not a log and its position"),
        ("order=9223372036854775808", "is not a log and its position"),
        ("order=1,", "'' is not a log and its position"),
        ("yesterday", "neither positions, such as order=123, nor a report's file"),
        ("order=99999", "is not in its log, which ends at"),
        ("order=1" * 1_000, "is not a log and its position"),
        ("x" * 10_000, "neither positions, such as order=123, nor a report's file"),
    ],
)
def test_positions_that_are_none_end_it_in_one_line(since: str, said: str) -> None:
    refused = tillroll("--since", since)
    assert refused.exit_code == 2
    assert said in refused.stderr
    assert len(refused.stderr.splitlines()) == 1


@pytest.mark.usefixtures("_shop")
@pytest.mark.parametrize(
    ("content", "said"),
    [
        ('{"clean": false, "next_since": "order=1"}', "that audit had findings"),
        ('{"clean": true}', "not a report of `tillroll audit --json`"),
        ("nothing of the kind", "not a report of `tillroll audit --json`"),
    ],
)
def test_a_report_that_cannot_be_continued_ends_it_in_one_line(
    tmp_path: Path, content: str, said: str
) -> None:
    file = tmp_path / "audit.json"
    file.write_text(content)
    refused = tillroll("--since", str(file))
    assert (refused.exit_code, len(refused.stderr.splitlines())) == (2, 1)
    assert said in refused.stderr
