"""The logs as files: what DuckDB and pandas read from them, what never leaves, and how it says no."""

import json
import re
import resource
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import fields, is_dataclass
from pathlib import Path
from typing import Any, get_args, get_type_hints

import duckdb
import pandas as pd
import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from adapters import cli_export, export_run
from adapters.export_personal import NEVER, PERSONAL
from adapters.personal_data import sealed_contact
from adapters.pii_key_file import read_pii_keys
from adapters.sealing import PersonKey, Wrapping
from domain.cart import CartLine, ReplaceCart
from domain.events import EVENTS
from domain.goods import Offer
from domain.key import Keyed, KeyUse
from domain.order import Contact, OrderPaid
from domain.saga import StartOrder
from domain.services import ORDER, USER
from domain.session import OpenSession
from domain.stock import StockSold
from domain.user import EraseUser, RegisterUser, Role
from tests.adapters.read_history import database_with
from tests.shop_history import SELL_DEADLINE, ShopHistory

KEYS = {user_id: PersonKey(bytes([user_id]) * 32) for user_id in (7, 8)}
PII_KEY = "ab" * 32
SECRETS = ("$argon2id$of-the-password", "digest-of-the-refresh-token", "fingerprint-of-the-request")
PERSON = ("ann7@mail.example", "Ann 7", "7 High Street", "A. Signer 7", "0770 7", "N7")
ERASED = ("ann8@mail.example", "Ann 8", "8 High Street", "A. Signer 8", "0770 8", "N8")

KNOWN_FIELDS = {
    *("about", "amount", "at", "available", "before", "checked", "contact", "delta", "epoch", "error"),
    *("expires_at", "goods_id", "kept_session", "lines", "name", "next_try_at", "nums", "on_hand"),
    *("order_id", "pay_before", "pay_type", "payment", "placed", "price", "reason", "returned", "role"),
    *("sell_before", "short", "trade_id", "tries", "user_id", "wanted"),
}
"""Fields of events that are the books, not a person. Whoever adds one decides whether it may leave."""


def history() -> ShopHistory:
    """Users 7 and 8 have bought; 8 is erased. Order 3 is refused."""
    shop = ShopHistory()
    for user_id in KEYS:
        registered(shop, user_id)
    shop.stocked(11, 30)
    shop.stocked(12, 30, price=99)
    for order_id, user_id in (("1", 7), ("2", 8)):
        ordered(shop, order_id, user_id)
        shop.sold(order_id)
        shop.paid(order_id)
    shop.placed("3", [(11, 500)])
    shop.tell(USER, EraseUser(8, "d8"))
    return shop


def registered(shop: ShopHistory, user_id: int) -> None:
    key = KEYS[user_id]

    def sealed(field: str, text: str) -> str:
        return key.seal(f"user-{user_id}.{field}", text)

    mail, name = sealed("email", f"ann{user_id}@mail.example"), sealed("nickname", f"Ann {user_id}")
    password = sealed("password_hash", SECRETS[0])
    shop.tell(USER, RegisterUser(user_id, mail, f"d{user_id}", name, None, Role.CUSTOMER, password))
    shop.tell(USER, OpenSession(f"s{user_id}", user_id, password, SECRETS[1], shop.now))


def ordered(shop: ShopHistory, order_id: str, user_id: int) -> None:
    lines = (CartLine(11, 2, checked=True), CartLine(12, 1, checked=True))
    shop.tell(ORDER, ReplaceCart(user_id, lines))
    parcel = Contact(f"{user_id} High Street", f"A. Signer {user_id}", f"0770 {user_id}", f"N{user_id}")
    contact = sealed_contact(KEYS[user_id], order_id, parcel)
    offers = (Offer(11, "mug", 250, True), Offer(12, "cup", 99, True))
    start = StartOrder(order_id, user_id, offers, contact, shop.now, shop.now + SELL_DEADLINE)
    shop.tell(ORDER, Keyed(start, KeyUse(f"key-{order_id}", SECRETS[2])))


SHOP = history()
EVENTS_IN_ALL = sum(map(len, SHOP.logs.values()))


@pytest.fixture(scope="module")
def dsn(postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    key_file = tmp_path_factory.mktemp("keys") / "pii.key"
    key_file.write_text(PII_KEY)
    key_file.chmod(0o600)
    wrapping = Wrapping(read_pii_keys(key_file).wrapping)
    with database_with(SHOP, postgres_dsn) as address, pytest.MonkeyPatch.context() as patch:
        with psycopg.connect(address) as connection:
            connection.execute('CREATE TABLE "user".personal_keys (user_id bigint, wrapped text)')
            for user_id, key in KEYS.items():
                row = (user_id, wrapping.wrap(f"user-{user_id}", key.key))
                connection.execute('INSERT INTO "user".personal_keys VALUES (%s, %s)', row)
        patch.setenv("TILLROLL_DSN", address)
        patch.setenv("TILLROLL_PII_KEY_FILE", str(key_file))
        yield address


pytestmark = pytest.mark.usefixtures("dsn")


def export(*words: object) -> Result:
    app = typer.Typer()
    cli_export.register(app)
    return CliRunner().invoke(app, list(map(str, words)))


def exported(*words: object) -> Result:
    result = export(*words)
    assert result.exit_code == 0, result.output
    return result


def refused(*words: object) -> str:
    """What is said, in one line, by a command that could not run."""
    result = export(*words)
    assert (result.exit_code, result.stdout, result.stderr.count("\n")) == (2, "", 1), result.output
    return result.stderr.strip()


def rows_of(file: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in file.read_text().splitlines()]


def asked(question: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    """DuckDB's answer: names of columns, and rows."""
    with duckdb.connect() as connection:
        answer = connection.execute(question)
        return [column[0] for column in answer.description or ()], answer.fetchall()


def sums_of_the_log() -> tuple[int, int, int]:
    """Events, units sold and revenue, as the log has them."""
    events = [recorded.event for log in SHOP.logs.values() for recorded in log]
    units = sum(event.nums for event in events if isinstance(event, StockSold))
    revenue = sum(event.payment.amount for event in events if isinstance(event, OrderPaid))
    return len(events), units, revenue


# what is read from the files


SUMS = """
    SELECT count(*), sum(nums) FILTER (name = 'StockSold'), sum(amount) FILTER (name = 'OrderPaid')
    FROM {source}
"""


def test_duckdb_reads_the_sums_of_the_log_from_parquet_and_from_json_lines(tmp_path: Path) -> None:
    exported("--parquet", tmp_path / "files")
    exported("--jsonl", tmp_path / "all.jsonl")
    for source in (f"'{tmp_path}/files/*.parquet'", f"read_json('{tmp_path}/all.jsonl')"):
        assert asked(SUMS.format(source=source))[1] == [sums_of_the_log()]


def test_pandas_reads_typed_columns(tmp_path: Path) -> None:
    exported("--parquet", tmp_path / "all.parquet")

    rows = pd.read_parquet(tmp_path / "all.parquet", dtype_backend="pyarrow")

    assert len(rows) == EVENTS_IN_ALL
    types = {name: str(kind) for name, kind in rows.dtypes.items()}
    assert types["at"] == "timestamp[us, tz=UTC][pyarrow]"
    assert {types[name] for name in ("position", "user_id", "nums", "amount")} == {"int64[pyarrow]"}
    sold = rows[rows["name"] == "StockSold"]
    assert sold.groupby("goods_id")["nums"].sum().to_dict() == {11: 4, 12: 2}
    assert set(sold["order_id"]) == {"1", "2"}


def test_both_kinds_of_file_hold_the_same_rows_in_the_order_of_the_logs(tmp_path: Path) -> None:
    exported("--parquet", tmp_path)
    exported("--jsonl", tmp_path)
    for log, events in SHOP.logs.items():
        lines = rows_of(tmp_path / f"{log}.jsonl")
        names, rows = asked(f"SELECT * EXCLUDE (\"at\") FROM '{tmp_path}/{log}.parquet'")
        assert [{name: line[name] for name in names} for line in lines] == [
            dict(zip(names, row, strict=True)) for row in rows
        ]
        assert [line["position"] for line in lines] == list(range(1, len(events) + 1))
        assert [line["stream"] for line in lines] == [recorded.originator_id for recorded in events]


def test_small_pieces_make_the_same_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    exported("--jsonl", tmp_path / "whole.jsonl")
    monkeypatch.setattr(export_run, "GROUP_ROWS", 7)
    monkeypatch.setattr(export_run, "BATCH_EVENTS", 3)
    exported("--jsonl", tmp_path / "pieces.jsonl")
    assert (tmp_path / "pieces.jsonl").read_bytes() == (tmp_path / "whole.jsonl").read_bytes()


def test_an_order_s_row_has_its_columns(tmp_path: Path) -> None:
    exported("--jsonl", tmp_path, "--log", "order")
    (placed, _) = [row for row in rows_of(tmp_path / "order.jsonl") if row["name"] == "OrderPlaced"]
    columns = ("category", "key", "order_id", "user_id", "goods_id", "nums", "amount")
    assert [placed[name] for name in columns] == ["order", "1", "1", 7, None, 3, 599]
    assert json.loads(placed["data"])["placed"]["lines"][0]["name"] == "mug"
    assert list(tmp_path.iterdir()) == [tmp_path / "order.jsonl"]


def test_since_goes_on_where_an_earlier_export_ended(tmp_path: Path) -> None:
    body = json.loads(exported("--jsonl", tmp_path, "--since", "order=4,user=2", "--json").stdout)
    assert {one["log"]: (one["after"], one["until"]) for one in body} == {
        log: ({"order": 4, "user": 2}.get(log, 0), len(events)) for log, events in SHOP.logs.items()
    }
    assert rows_of(tmp_path / "order.jsonl")[0]["position"] == 5
    ends = ",".join(f"{one['log']}={one['until']}" for one in body)
    nothing = exported("--jsonl", tmp_path / "next", "--since", ends)
    assert "0 events." in nothing.stdout
    assert {file.read_text() for file in (tmp_path / "next").iterdir()} == {""}


DOCUMENT = Path(__file__).parents[2] / "docs" / "export.md"


def blocks(language: str) -> list[str]:
    return re.findall(rf"```{language}\n(.*?)```", DOCUMENT.read_text(), re.DOTALL)


def test_the_questions_of_the_document_are_answered_from_the_files(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    exported("--parquet", tmp_path / "shop")
    monkeypatch.chdir(tmp_path)

    best, waited, refusals = (asked(question)[1] for question in blocks("sql"))
    exec("\n".join(blocks("python")), {})

    assert [row[1:] for row in best] == [(11, "mug", 4, 1000), (12, "cup", 2, 198)]
    assert waited == [(2, 1.0, 1.0)]
    assert [(row[0], *row[2:]) for row in refusals] == [("3", 11, 500, 26)]
    said = [" ".join(line.split()) for line in capsys.readouterr().out.splitlines()]
    assert said[1:3] == ["2026-11-23 11 mug 1000", "2026-11-23 12 cup 198"]
    assert said[3] == "{0.5: 1.0, 0.95: 1.0}"
    assert said[-1] == "3 11 500 26"


# what never leaves


def test_nothing_personal_and_no_hash_leaves_unless_it_is_asked_for(tmp_path: Path) -> None:
    exported("--jsonl", tmp_path / "all.jsonl")
    text = (tmp_path / "all.jsonl").read_text()
    assert [
        one for one in (*SECRETS, *PERSON, *ERASED, "sealed1.", "address", "email\\") if one in text
    ] == []


def test_with_personal_the_clear_text_of_those_who_are_there_leaves_and_still_no_hash(tmp_path: Path) -> None:
    exported("--jsonl", tmp_path / "all.jsonl", "--personal")
    text = (tmp_path / "all.jsonl").read_text()
    assert [one for one in PERSON if one not in text] == []
    assert [one for one in (*SECRETS, *ERASED, "sealed1.") if one in text] == []
    (_, other) = [row for row in rows_of(tmp_path / "all.jsonl") if row["name"] == "OrderPlaced"]
    contact = json.loads(other["data"])["placed"]["contact"]
    assert contact == dict.fromkeys(("address", "signer_name", "signer_mobile", "post"))


def test_every_field_of_every_event_was_thought_of() -> None:
    names = {name for kind in EVENTS.values() for name in field_names(kind)}
    assert names - KNOWN_FIELDS == NEVER | PERSONAL


def field_names(kind: Any) -> Iterator[str]:
    if is_dataclass(kind):
        hints = get_type_hints(kind)
        for field in fields(kind):
            yield field.name
            yield from field_names(hints[field.name])
    for inner in get_args(kind):
        yield from field_names(inner)


def test_without_the_key_file_personal_data_is_not_exported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    other = tmp_path / "other.key"
    other.write_text("cd" * 32)
    other.chmod(0o600)
    monkeypatch.delenv("TILLROLL_PII_KEY_FILE")
    said = refused("--jsonl", tmp_path / "all.jsonl", "--personal", "--data", tmp_path)
    assert said == f"tillroll: {tmp_path}/keys/pii.key: No such file or directory"
    monkeypatch.setenv("TILLROLL_PII_KEY_FILE", str(other))
    said = refused("--jsonl", tmp_path / "all.jsonl", "--personal")
    assert said.startswith("tillroll: the key of user-7 was wrapped with ")
    assert sorted(file.name for file in tmp_path.iterdir()) == ["other.key"]


# files are there whole or not at all


def test_a_file_that_is_there_is_replaced_only_with_force(tmp_path: Path) -> None:
    file = tmp_path / "all.jsonl"
    file.write_text("precious")
    assert refused("--jsonl", file) == f"tillroll: {file} is there already; --force replaces it"
    assert file.read_text() == "precious"
    exported("--jsonl", file, "--force")
    assert len(rows_of(file)) == EVENTS_IN_ALL
    assert list(tmp_path.iterdir()) == [file]


@pytest.mark.parametrize("kind", ["jsonl", "parquet"])
def test_a_disk_that_is_full_leaves_nothing_and_keeps_what_was_there(tmp_path: Path, kind: str) -> None:
    old = tmp_path / f"all.{kind}"
    old.write_text("precious")
    with files_of_at_most(1_000):
        assert refused(f"--{kind}", old, "--force") == f"tillroll: {tmp_path}: File too large"
        assert refused(f"--{kind}", tmp_path / "new").endswith("File too large")
    assert list(tmp_path.iterdir()) == [old]
    assert old.read_text() == "precious"


@contextmanager
def files_of_at_most(size: int) -> Iterator[None]:
    """What is longer cannot be written, as on a full disk."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (size, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def test_a_place_where_nothing_can_be_written_is_said_in_one_line(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    assert refused("--jsonl", tmp_path / "file" / "all.jsonl").endswith("file is not a folder")
    assert refused("--jsonl", tmp_path / "no" / "such" / "all.jsonl").endswith("No such file or directory")
    (tmp_path / "folder.parquet").mkdir()
    assert refused("--parquet", tmp_path / "folder.parquet").endswith("folder.parquet is a folder")


def test_what_was_typed_wrong_is_said_in_one_line(tmp_path: Path) -> None:
    assert "one of them" in refused()
    assert "one of them" in refused("--jsonl", tmp_path, "--parquet", tmp_path)
    assert "expected one of user, goods" in refused("--jsonl", tmp_path, "--log", "sales")
    for since in ("order", "order=x", "sales=1", "2026-11-23T14:03:00Z"):
        assert "expected LOG=N" in refused("--jsonl", tmp_path, "--since", since)
    assert "expected LOG=N" in refused("--jsonl", tmp_path, "--log", "user", "--since", "order=1")


def test_a_damaged_log_leaves_no_file(tmp_path: Path, postgres_dsn: str) -> None:
    with database_with(SHOP, postgres_dsn) as address, pytest.MonkeyPatch.context() as patch:
        with psycopg.connect(address) as owner:
            owner.execute("UPDATE inventory.events SET state = '{' WHERE notification_id = 3")
        patch.setenv("TILLROLL_DSN", address)
        said = refused("--parquet", tmp_path / "files")
    assert said.startswith("tillroll: log inventory is damaged at position 3, stream ")
    assert list(tmp_path.iterdir()) == []


def test_no_other_command_waits_for_the_library_of_parquet() -> None:
    code = "import adapters.cli_export, sys; sys.exit('pyarrow' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0
