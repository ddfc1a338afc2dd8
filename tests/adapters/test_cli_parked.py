"""`tillroll parked`: what an operator types and sees."""

import asyncio
import json
from datetime import UTC, datetime, timedelta
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from adapters.cli_parked import app
from adapters.postgres_migrate import migrate_log
from adapters.postgres_parked import MAX_DATA_BYTES, PARKING_LOGS, PostgresParkingLot
from orchestrator.intake import Parked

AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)


@pytest.fixture
def dsn(fresh_database: str, monkeypatch: pytest.MonkeyPatch) -> str:
    for log in PARKING_LOGS:
        migrate_log(fresh_database, log)
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    return fresh_database


def park(dsn: str, log: str, *messages: Parked) -> None:
    async def all_of_them() -> None:
        lot = PostgresParkingLot(dsn, log, max_parked=3)
        try:
            for message in messages:
                await lot.park(message)
        finally:
            await lot.close()

    asyncio.run(all_of_them())


def message(number: int, data: bytes = b"\x00hello", **changes: Any) -> Parked:
    fields = {"subject": "t.cmd.inventory.sell.0", "reason": f"reason {number}", **changes}
    return Parked(place=f"T_CMD/{number}", data=data, at=AT + timedelta(seconds=number), **fields)


def parked(*words: str) -> Result:
    return CliRunner().invoke(app, list(words))


def test_nothing_parked_is_said(dsn: str) -> None:
    result = parked("list")

    assert (result.exit_code, result.stdout) == (0, "inventory: 0 parked\norder: 0 parked\n")


def test_list_shows_both_logs_the_newest_first_and_how_many_made_room(dsn: str) -> None:
    park(dsn, "inventory", *(message(n) for n in (1, 3, 5, 7)))
    park(dsn, "order", message(4, b"x" * 1_234, subject="t.reply.order.sold.0"))
    lines = [" ".join(line.split()) for line in parked("list").stdout.splitlines()]

    names = [line.partition(" ")[0] for line in lines[1:5]]
    assert names == ["inventory-4", "inventory-3", "order-1", "inventory-2"]
    assert lines[3] == "order-1 2026-11-23 14:00:04 1,234 reason 4 t.reply.order.sold.0"
    assert lines[5:] == ["inventory: 3 parked; 1 older ones made room", "order: 1 parked"]


def test_list_for_a_program(dsn: str) -> None:
    park(dsn, "order", message(4), message(4))
    body = json.loads(parked("list", "--json").stdout)

    assert body["logs"] == {
        "inventory": {"kept": 0, "dropped": 0},
        "order": {"kept": 1, "dropped": 0},
    }
    assert body["items"] == [
        {
            "id": "order-1",
            "place": "T_CMD/4",
            "subject": "t.cmd.inventory.sell.0",
            "reason": "reason 4",
            "size": 6,
            "at": "2026-11-23T14:00:04Z",
            "times": 2,
            "last_at": "2026-11-23T14:00:04Z",
        }
    ]


def test_show_tells_where_why_and_the_bytes(dsn: str) -> None:
    park(dsn, "inventory", message(1), message(1))
    result = parked("show", "inventory-1")

    assert result.exit_code == 0
    assert "Parked message inventory-1" in result.stdout
    assert "reason 1" in result.stdout
    assert "T_CMD/1" in result.stdout
    assert "2026-11-23 14:00:01 UTC, 2 times" in result.stdout
    assert "000000  00 68 65 6c 6c 6f " in result.stdout
    assert " .hello\n" in result.stdout


def test_a_large_message_is_shown_in_part_and_kept_in_part(dsn: str) -> None:
    park(dsn, "inventory", message(1, b"x" * 100_000))

    assert "the first 512 of 100,000 bytes; --json has 65,536" in parked("show", "inventory-1").stdout
    body = json.loads(parked("show", "inventory-1", "--json").stdout)
    assert (body["size"], bytes.fromhex(body["data_hex"])) == (100_000, b"x" * MAX_DATA_BYTES)


@pytest.mark.parametrize("words", [("list",), ("show", "order-1")])
def test_a_strangers_words_do_not_steer_the_terminal(dsn: str, words: tuple[str, ...]) -> None:
    park(dsn, "order", message(1, b"\x1b[2J", reason="\x1b[2J[red]", subject="a\x07\nb"))
    shown = parked(*words).stdout

    assert not set(shown) & {"\x1b", "\x07"}
    assert r"\x1b[2J[red]" in shown
    assert r"a\x07\nb" in shown


def test_forget_deletes_what_is_named_and_says_what_was_not_there(dsn: str) -> None:
    park(dsn, "inventory", message(1), message(2))
    result = parked("forget", "inventory-1", "inventory-9")

    assert (result.exit_code, result.stdout) == (1, "1 forgotten\n")
    assert result.stderr == "tillroll: no parked message inventory-9\n"
    assert parked("show", "inventory-1").exit_code == 1
    assert parked("show", "inventory-2").exit_code == 0


@pytest.mark.parametrize(
    "name",
    ["7", "user-1", "order-", "order-x", "order-0", "order-٣", f"order-{2**63}", "order-" + "7" * 5_000],
)
@pytest.mark.parametrize("command", ["show", "forget"])
def test_a_wrong_name_is_one_clear_line(dsn: str, command: str, name: str) -> None:
    result = parked(command, name)

    assert (result.exit_code, result.stdout) == (2, "")
    assert result.stderr.count("\n") == 1
    assert "such as order-3" in result.stderr


def test_a_database_that_is_not_migrated_is_one_clear_line(
    fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    result = parked("list")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
    assert "tillroll migrate" in result.stderr


def test_a_database_that_does_not_answer_is_one_clear_line(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("TILLROLL_DSN", "postgresql://nobody@127.0.0.1:1/none")
    result = parked("list")

    assert (result.exit_code, result.stderr.count("\n")) == (2, 1)
