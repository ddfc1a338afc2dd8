"""The stock of one goods as an engineer asks for it: the ledger, as of then, as JSON, and as a picture."""

import json
from collections.abc import Iterator
from pathlib import Path
from xml.etree import ElementTree

import psycopg
import pytest
import typer
from psycopg.sql import SQL, Identifier
from typer.testing import CliRunner, Result

from adapters import cli_audit, cli_stock
from domain.goods import ChangeGoods, DeleteGoods
from domain.sale import Rollback
from domain.services import GOODS, INVENTORY
from domain.stock import AdjustStock, StockSold
from tests.adapters.read_history import database_with
from tests.shop_history import ShopHistory

SVG = "{http://www.w3.org/2000/svg}"
MANY = 4_500
"""Events of goods 14: more than one batch of the reader, and more than there are pixels."""

LEDGER = """\
2026-11-23 14:00:01 set +10 10 user 1 inventory=1
2026-11-23 14:00:04 sold -3 7 order saga 1 inventory=3
2026-11-23 14:00:06 adjusted -2 5 operator ann dropped,\\x1b[2J the box\\nis wet inventory=4
2026-11-23 14:00:07 returned +3 8 order saga 1 inventory=6
"""


def history() -> ShopHistory:
    """Goods 12 have all kinds of moves, 13 a sale that says a wrong level, 14 very many.

    15 have no stock, 16 and 17 have none left.
    """
    shop = ShopHistory()
    shop.stocked(12, 10)
    shop.placed("1", [(12, 3)])
    shop.tell(
        INVENTORY, AdjustStock(12, -2, "dropped,\x1b[2J the box\nis wet", goods_exist=True), "operator-ann"
    )
    shop.tell(INVENTORY, Rollback("1"), "order-saga")
    shop.tell(GOODS, ChangeGoods(12, name='<b>Mug</b> & "saucer"'))
    shop.tell(GOODS, DeleteGoods(12))
    shop.stocked(13, 5)
    shop.plant(INVENTORY, "stock-13", StockSold("77", 2, 4))
    shop.stocked(14, 10)
    for number in range(1, MANY):
        shop.tell(INVENTORY, AdjustStock(14, 1 if number % 2 else -1, "counted", goods_exist=True))
    shop.stocked(16, 2)
    shop.placed("16", [(16, 2)])
    shop.stocked(17, 1)
    shop.tell(INVENTORY, AdjustStock(17, -1, "lost", goods_exist=True), "operator-ann")
    return shop


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str) -> Iterator[str]:
    with database_with(history(), postgres_dsn) as address:
        yield address


@pytest.fixture(autouse=True)
def _shop(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", dsn)


def tillroll(*words: str) -> Result:
    app = typer.Typer()
    cli_audit.register(app)
    cli_stock.register(app)
    return CliRunner().invoke(app, ["stock", *words])


def squeezed(text: str) -> list[str]:
    return [" ".join(line.split()) for line in text.splitlines()]


def test_the_ledger_is_one_line_an_event_under_a_head_with_the_sums() -> None:
    result = tillroll("12")
    assert result.exit_code == 0
    head, sums, columns, *lines = squeezed(result.stdout)
    assert head == 'Goods 12 <b>Mug</b> & "saucer" (deleted)'
    assert sums == (
        "8 on hand now sold 3 returned 3 adjusted -2 set +10 events 4 last change 2026-11-23 14:00:07 UTC"
    )
    assert columns == "When (UTC) What Change On hand Who Order Why Log"
    assert lines == LEDGER.splitlines()
    assert "\x1b" not in result.stdout


def test_as_of_a_time_the_ledger_ends_there_and_the_goods_have_their_name_of_then() -> None:
    head, sums, _, *lines = squeezed(tillroll("12", "--at", "2026-11-23T15:00:04+01:00").stdout)
    assert head == "Goods 12 goods 12"
    assert sums.startswith("7 on hand at 2026-11-23 14:00:04 UTC sold 3 returned 0")
    assert lines == LEDGER.splitlines()[:2]


def test_of_a_long_ledger_the_last_lines_are_shown_and_the_rest_is_counted() -> None:
    lines = squeezed(tillroll("14").stdout)
    assert lines[2] == f"{MANY - 50} lines before these left out; 11 on hand then; --limit {MANY} shows all"
    assert len(lines) == 4 + 50
    few = squeezed(tillroll("14", "--limit", "2").stdout)
    assert few[2] == f"{MANY - 2} lines before these left out; 11 on hand then; --limit {MANY} shows all"
    assert [line.split()[3:5] for line in few[4:]] == [["-1", "10"], ["+1", "11"]]


def test_all_lines_of_a_long_ledger_have_the_columns_of_its_last_ones() -> None:
    everything = tillroll("14", "--limit", str(MANY)).stdout.splitlines()
    assert len(everything) == 3 + MANY
    assert {line.index("inventory=") for line in everything[3:]} == {everything[2].index("Log")}
    few = squeezed(tillroll("14").stdout)
    assert squeezed("\n".join(everything))[2] == few[3]
    assert squeezed("\n".join(everything))[-50:] == few[-50:]


def test_a_level_that_does_not_follow_shows_both_numbers() -> None:
    lines = squeezed(tillroll("13").stdout)
    assert lines[2].startswith("1 line does not follow from the quantities, first at inventory=")
    assert "-2 3, says 4 somebody 77 says 4, 3 follows" in lines[-1]


def test_of_goods_that_are_gone_it_is_said_where_the_last_unit_went() -> None:
    gone = "Last unit went to order 16 at 2026-11-23 15:15:17 UTC, inventory=4511"
    assert squeezed(tillroll("16").stdout)[2] == gone
    by_hand = "Last unit went when operator ann adjusted it (lost) at 2026-11-23 15:15:21 UTC, inventory=4513"
    assert squeezed(tillroll("17").stdout)[2] == by_hand
    assert "Last unit" not in tillroll("12").stdout
    told = json.loads(tillroll("16", "--json").stdout)
    assert (told["last_unit"]["order_id"], told["last_unit"]["position"]) == ("16", 4511)


def test_json_has_the_sums_and_the_lines() -> None:
    told = json.loads(tillroll("12", "--json", "--limit", "1").stdout)
    assert (told["on_hand"], told["sold"], told["returned"], told["adjusted"]) == (8, 3, 3, -2)
    assert (told["deleted"], told["left_out"], told["balance_before"]) == (True, 3, 5)
    assert [(line["kind"], line["balance"]) for line in told["lines"]] == [("returned", 8)]


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["99"], "there is no stock of goods 99"),
        (["12", "--at", "2020-01-01T00:00:00Z"], "there is no stock of goods 12 by 2020-01-01 00:00:00 UTC"),
        (["12", "--at", "2026-11-23T14:00:00Z"], "goods 12 had no stock set by 2026-11-23 14:00:00 UTC"),
    ],
)
def test_goods_without_a_stock_are_told_in_one_line_with_exit_1(words: list[str], told: str) -> None:
    result = tillroll(*words)
    assert (result.exit_code, result.stdout, result.stderr) == (1, "", f"tillroll: {told}\n")


@pytest.mark.parametrize(
    "words",
    [
        ["mug"],
        ["0"],
        ["9" * 19],
        ["12", "--limit", "0"],
        ["12", "--limit", "1000001"],
        ["12", "--at", "2026-11-23T14:00:00"],
        ["12", "--at", "0001-01-01T00:00:00+14:00"],
        ["12", "--plot", "level.png"],
        ["12", "--plot", "/nowhere/level.svg"],
        ["12", "--plot", "/dev/null/level.svg"],
    ],
)
def test_what_cannot_be_done_is_one_line_with_exit_2(words: list[str]) -> None:
    result = tillroll(*words)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1)
    assert result.stderr.startswith("tillroll: ")


def drawn(folder: Path, *words: str) -> ElementTree.Element:
    picture = folder / "level.svg"
    result = tillroll(*words, "--plot", str(picture))
    assert result.exit_code == 0
    assert result.stdout.endswith(f"Drawn into {picture}\n")
    return ElementTree.parse(picture).getroot()


def words_in(picture: ElementTree.Element) -> str:
    return "\n".join("".join(element.itertext()) for element in picture.iter())


def test_the_picture_names_the_goods_and_every_event_when_there_are_few(tmp_path: Path) -> None:
    picture = drawn(tmp_path, "12")
    words = words_in(picture)
    assert 'Stock of goods 12: <b>Mug</b> & "saucer"' in words
    assert "4 events, each drawn" in words
    assert "Sale -3, then 7 on hand, order 1\n2026-11-23 14:00:04 UTC by order saga, inventory=3" in words
    assert [element.get("href") for element in picture.iter() if element.get("href")] == []
    level = next(element for element in picture.iter(f"{SVG}path") if element.get("class") == "level")
    assert (level.get("d") or "").count("V") == 4


def test_the_picture_of_many_events_is_bounded_and_says_what_it_leaves_out(tmp_path: Path) -> None:
    picture = drawn(tmp_path, "14")
    assert f"{MANY:,} events, some in one pixel column" in words_in(picture)
    assert (tmp_path / "level.svg").stat().st_size < 200_000
    counts = [e.text for e in picture.iter(f"{SVG}text") if e.get("class") == "count"]
    assert len(counts) < 45


def test_the_picture_points_at_the_first_level_that_does_not_follow(tmp_path: Path) -> None:
    assert "says 4, 3 follows" in words_in(drawn(tmp_path, "13"))


def test_a_role_that_can_only_select_is_enough(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    role = Identifier("stock_reader_only")
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(SQL("CREATE ROLE {} LOGIN").format(role))
        for log in ("inventory", "goods"):
            owner.execute(SQL("GRANT USAGE ON SCHEMA {} TO {}").format(Identifier(log), role))
            owner.execute(SQL("GRANT SELECT ON {} TO {}").format(Identifier(log, "events"), role))
        try:
            reader = psycopg.conninfo.make_conninfo(dsn, user="stock_reader_only")
            monkeypatch.setenv("TILLROLL_DSN", reader)
            assert tillroll("12").exit_code == 0
        finally:
            owner.execute(SQL("DROP OWNED BY {}").format(role))
            owner.execute(SQL("DROP ROLE {}").format(role))
