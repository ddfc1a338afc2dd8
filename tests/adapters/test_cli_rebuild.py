"""`tillroll replay rebuild` and `diff` as an engineer types them: what they print, and how they say no."""

import json
import re

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from adapters import cli_rebuild
from adapters.postgres_read_schema import create_read_tables
from tests.adapters.read_side import busy_shop, catch_up, create_logs, store
from tests.adapters.test_read_rebuild import in_process, rows_in, run

__all__ = ["in_process"]

pytestmark = pytest.mark.usefixtures("in_process")


@pytest.fixture
def dsn(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    store(fresh_database, busy_shop())
    catch_up(fresh_database)
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    return fresh_database


def tillroll(*words: str) -> Result:
    replay = typer.Typer()
    cli_rebuild.register(replay)
    app = typer.Typer()
    app.add_typer(replay, name="replay")
    return CliRunner().invoke(app, ["replay", *words])


@pytest.mark.usefixtures("dsn")
def test_a_rebuild_says_what_it_built_compared_and_swapped() -> None:
    result = tillroll("rebuild")

    assert result.exit_code == 0
    assert re.search(
        r"^Built from \d+ events in [\d.]+ s \([\d,]+ events/s\), up to user=2, goods=", result.stdout
    )
    assert re.search(r"^order_goods +\d+ +0 +the same$", result.stdout, re.MULTILINE)
    assert "Swapped. The old set is kept in schema read_before: --swap-back brings it back." in result.stdout


def test_a_difference_is_shown_and_exits_1(dsn: str) -> None:
    run(dsn, "UPDATE read.goods SET name = 'other' WHERE id = 11")
    run(dsn, "DELETE FROM read.inventory WHERE goods_id = 12")
    result = tillroll("rebuild")

    assert result.exit_code == 1
    assert "goods id=11: name is 'other', but the log makes it 'goods 11'" in result.stdout
    assert "inventory goods_id=12: the log makes this row, but the live table has none" in result.stdout
    assert "NOT SWAPPED" in result.stdout
    assert tillroll("rebuild", "--accept").exit_code == 0
    assert tillroll("diff").exit_code == 0


def test_many_differences_are_counted_and_the_first_ones_shown(dsn: str) -> None:
    run(dsn, "INSERT INTO read.stock_sell_detail SELECT n, 1, '[]' FROM generate_series(1, 50) AS n")
    result = tillroll("diff")

    assert result.exit_code == 1
    assert result.stdout.count("the live table has this row, but the log makes none") == 20
    assert "... and 30 more rows of stock_sell_detail" in result.stdout


def test_a_look_says_whether_they_equal_their_logs(dsn: str) -> None:
    assert "The live read models equal their logs." in tillroll("diff").stdout
    run(dsn, "UPDATE read.goods SET name = 'other'")
    result = tillroll("diff")
    assert (result.exit_code, "THE LIVE READ MODELS DIFFER" in result.stdout) == (1, True)


def test_a_projector_that_never_ran_is_not_called_equal(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    create_logs(fresh_database)
    create_read_tables(fresh_database)
    store(fresh_database, busy_shop())
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    result = tillroll("diff")

    assert result.exit_code == 0
    assert re.search(r"were behind their logs, by events: goods \d+, inventory \d+", result.stdout)
    assert "The live read models equal their logs as far as they have come." in result.stdout


def test_json_is_for_programs(dsn: str) -> None:
    run(dsn, "UPDATE read.goods SET name = 'other' WHERE id = 11")
    result = tillroll("rebuild", "--json")

    body = json.loads(result.stdout)
    goods = next(table for table in body["comparison"]["tables"] if table["table"] == "goods")
    assert (result.exit_code, body["swapped"], body["comparison"]["same"], goods["differing"]) == (
        1,
        False,
        False,
        1,
    )
    assert goods["shown"] == [
        {"table": "goods", "key": {"id": 11}, "live": {"name": "other"}, "rebuilt": {"name": "goods 11"}}
    ]


def test_a_copy_as_of_a_moment_or_position(dsn: str) -> None:
    result = tillroll("rebuild", "--until", "2026-11-23T14:00:10Z", "--into", "noon")
    assert result.exit_code == 0, result.stderr
    assert "SET search_path = noon" in result.stdout
    assert tillroll("rebuild", "--until", "order=40").exit_code == 0
    assert tillroll("rebuild", "--into", "today").exit_code == 0
    schemas = "SELECT nspname FROM pg_namespace WHERE nspname ~ '^read_at' OR nspname IN ('noon', 'today')"
    names = sorted(name for (name,) in run(dsn, schemas))
    assert (names[0], names[2]) == ("noon", "today")
    assert re.fullmatch(r"read_at_goods_\d+_inventory_\d+_order_40_user_2", names[1])
    assert rows_in(dsn, "today") == rows_in(dsn, "read")


def test_swap_back(dsn: str) -> None:
    run(dsn, "UPDATE read.goods SET name = 'other' WHERE id = 11")
    tillroll("rebuild", "--accept")
    result = tillroll("rebuild", "--swap-back")

    assert (result.exit_code, result.stdout[:12]) == (0, "Swapped back")
    assert run(dsn, "SELECT name FROM read.goods WHERE id = 11") == [("other",)]


@pytest.mark.parametrize(
    ("words", "why"),
    [
        (["--until", "yesterday"], "expected a time with its zone"),
        (["--until", "2999-01-01T00:00:00Z"], "is in the future"),
        (["--until", "order=100000"], "the order log has no position 100000; its last one is"),
        (["--until", "2000-01-01T00:00:00Z"], "nothing had been recorded by then"),
        (["--into", "read"], "expected a new schema's name"),
        (["--into", "Robert'); DROP"], "expected a new schema's name"),
        (["--into", "pg_temp"], "expected a new schema's name"),
        (["--into", "there"], "schema there exists"),
        (["--until", "9999-12-31T23:59:59-05:00"], "expected a time with its zone"),
        (["--into", "read_leaving"], "expected a new schema's name"),
        (["--into", "then"], "then is a word of SQL"),
        (["--until", "order=3", "--accept"], "leave out --accept"),
        (["--swap-back", "--accept"], "nothing to --accept"),
        (["--swap-back"], "there is no set before this one"),
    ],
)
def test_what_cannot_be_done_is_one_line_and_exits_2(dsn: str, words: list[str], why: str) -> None:
    run(dsn, "CREATE SCHEMA there")
    live = rows_in(dsn, "read")
    result = tillroll("rebuild", *words)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.startswith("tillroll: ")
    assert why in result.stderr
    assert result.stderr.count("\n") == 1
    assert rows_in(dsn, "read") == live


def test_a_role_that_may_not_is_told(dsn: str, monkeypatch: pytest.MonkeyPatch) -> None:
    run(dsn, "DO $$ BEGIN CREATE ROLE looker LOGIN; EXCEPTION WHEN duplicate_object THEN NULL; END $$")
    run(dsn, "GRANT USAGE ON SCHEMA read TO looker")
    run(dsn, "GRANT SELECT ON ALL TABLES IN SCHEMA read TO looker")
    monkeypatch.setenv("TILLROLL_DSN", psycopg.conninfo.make_conninfo(dsn, user="looker"))
    result = tillroll("rebuild")
    run(dsn, "DROP OWNED BY looker")

    assert (result.exit_code, result.stderr) == (
        2,
        "tillroll: this role does not own read.goods, so it cannot make read models again;"
        " `tillroll audit` compares them with SELECT alone\n",
    )
