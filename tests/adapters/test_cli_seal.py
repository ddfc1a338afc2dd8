"""`tillroll seal`, `verify` and `replay proof` as a person types them, and the script that checks a proof."""

import copy
import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import psycopg
import pytest
from typer.testing import CliRunner

from adapters.cli import app
from adapters.postgres_migrate import STEPS
from adapters.settings import LOGS
from tests.adapters.read_history import SHOP, database_with

CHECK = Path(__file__).parents[2] / "docs" / "check_proof.py"
NO_GUARD = (
    'CREATE FUNCTION "{}".refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$'
)
"""Whoever owns the database takes the guard of a table away first."""

(SEALS_STEP,) = [step for step in STEPS if step.name.endswith("_seals")]


class Typed:
    """Commands on one database and data folder."""

    def __init__(self, dsn: str, data: Path) -> None:
        self.dsn = dsn
        self.data = data

    def __call__(self, *words: str) -> Any:
        setting = {"TILLROLL_DSN": self.dsn}
        return CliRunner().invoke(app, [*words, "--data", str(self.data)], env=setting)

    def json(self, *words: str) -> Any:
        told = self(*words)
        assert told.exit_code == 0, told.stderr
        return json.loads(told.stdout)


@pytest.fixture(scope="module")
def shop(postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Typed]:
    with database_with(SHOP, postgres_dsn) as dsn:
        with psycopg.connect(dsn) as connection:
            for log in LOGS:
                connection.execute(NO_GUARD.format(log).encode())
                connection.execute(SEALS_STEP.statements(log))
        typed = Typed(dsn, tmp_path_factory.mktemp("typed"))
        assert typed("seal").exit_code == 0
        yield typed


def test_sealing_says_how_far_and_can_be_asked_again(shop: Typed) -> None:
    first = shop.json("seal", "--json")
    assert {seal["log"]: seal["last"] for seal in first["seals"]} == {
        log: len(events) for log, events in SHOP.logs.items()
    }
    assert shop.json("seal", "--json") == first
    assert "Up to position" in shop("seal").stdout


def test_verifying_says_what_was_read(shop: Typed) -> None:
    told = shop("verify")
    assert told.exit_code == 0
    assert "Untouched: " in told.stdout
    assert "tillroll audit" in told.stdout
    found = shop.json("verify", "--json", "--log", "order")
    assert found["clean"] is True
    assert [(log["log"], log["events"]) for log in found["logs"]] == [("order", len(SHOP.logs["order"]))]


def test_seals_that_were_exported_are_compared_and_continued(shop: Typed, tmp_path: Path) -> None:
    held = str(tmp_path / "held.json")
    assert shop("seal", "--export", held).exit_code == 0
    assert shop("verify", "--against", held).exit_code == 0
    (order,) = shop.json("verify", "--since", held, "--log", "order", "--json")["logs"]
    assert (order["events"], order["skipped"]) == (0, len(SHOP.logs["order"]))


def test_an_auditor_needs_the_public_key_only(shop: Typed, tmp_path: Path) -> None:
    told = shop("seal", "--public-key")
    public = tmp_path / "seal.pub"
    public.write_text(told.stdout)
    auditor = Typed(shop.dsn, tmp_path / "nothing here")
    assert auditor("verify", "--public-key", str(public)).exit_code == 0
    assert auditor("verify", "--public-key", told.stdout.split()[1]).exit_code == 0
    assert auditor("verify", "--public-key", "0" * 64).exit_code == 1


def test_what_was_touched_is_told_with_exit_code_1(shop: Typed) -> None:
    change = 'UPDATE "order".events SET topic = {} WHERE notification_id = 7'
    with psycopg.connect(shop.dsn, autocommit=True) as connection:
        row = connection.execute('SELECT topic FROM "order".events WHERE notification_id = 7').fetchone()
        assert row is not None
        connection.execute(change.format("'Sold'").encode())
        told = shop("verify")
        proof = shop("replay", "proof", "order=7")
        connection.execute(change.format(f"'{row[0]}'").encode())
    assert told.exit_code == 1
    assert "order: 1 event changed at position 7 (seal 1)" in told.stdout
    assert "TOUCHED: 1 place differs from what was sealed." in told.stdout
    assert (proof.exit_code, proof.stdout) == (1, "")
    assert "is not what seal 1 says: run `tillroll verify`" in proof.stderr
    assert shop("verify").exit_code == 0


@pytest.mark.parametrize(
    ("words", "code", "expected"),
    [
        (("verify", "--log", "nix"), 2, "there is no such log; the logs are user, goods, inventory, order"),
        (("verify", "--against", "/nowhere"), 2, "/nowhere: No such file or directory"),
        (("verify", "--since", str(CHECK)), 2, "this is no file of seals"),
        (("verify", "--public-key", "zz"), 2, "zz: No such file or directory"),
        (("verify", "--public-key", str(CHECK)), 2, "expected one line `seal <64 hexadecimal digits>`"),
        (("seal", "--export", "/proc/held.json"), 2, "/proc/held.json: "),
        (("replay", "proof", "order"), 2, "expected a log (user, goods, inventory, order), = and a position"),
        (("replay", "proof", "order=0"), 2, "expected a log"),
        (("replay", "proof", "order=999999"), 1, "log order has no position 999999; its last one is"),
    ],
)
def test_what_cannot_be_done_is_one_line(
    shop: Typed, words: tuple[str, ...], code: int, expected: str
) -> None:
    told = shop(*words)
    assert (told.exit_code, told.stdout) == (code, "")
    assert told.stderr.startswith("tillroll: ")
    assert told.stderr.count("\n") == 1
    assert expected in told.stderr


def test_without_a_key_nothing_is_verified_and_none_is_made(shop: Typed, tmp_path: Path) -> None:
    told = Typed(shop.dsn, tmp_path)("verify")
    assert told.exit_code == 2
    assert "seal.key: there is no key to verify by; name one with --public-key" in told.stderr
    assert list(tmp_path.iterdir()) == []


def test_a_database_that_was_not_migrated_says_so(fresh_database: str, shop: Typed) -> None:
    told = Typed(fresh_database, shop.data)("verify")
    assert told.exit_code == 2
    assert "run `tillroll migrate`" in told.stderr


def checked(proof: Any, folder: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    path = folder / "proof.json"
    path.write_text(json.dumps(proof))
    command = [sys.executable, "-I", str(CHECK), str(path), *arguments]
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)


def test_a_proof_is_checked_without_our_code(shop: Typed, tmp_path: Path) -> None:
    proof = shop.json("replay", "proof", "order=57")
    assert proof["event"]["stream"] == SHOP.logs["order"][56].originator_id
    told = checked(proof, tmp_path, proof["public_key"])
    assert (told.returncode, told.stderr) == (0, "")
    assert told.stdout.startswith("proved: position 57 of log order stands as it was sealed\nseal 1 of 20")


def broken(proof: Any, change: str) -> Any:
    wrong = copy.deepcopy(proof)
    match change:
        case "state":
            wrong["event"]["state"] = wrong["event"]["state"].replace("user-", "user-1")
        case "position":
            wrong["event"]["position"] += 1
        case "path":
            wrong["path"][0] = wrong["path"][1]
        case "shorter":
            wrong["path"].pop()
        case "index":
            wrong["index"] += 1
        case "root":
            wrong["seal"]["root"] = "0" * 64
        case "time":
            wrong["seal"]["sealed_at"] = "2020-01-01T00:00:00Z"
    return wrong


@pytest.mark.parametrize("change", ["state", "position", "path", "shorter", "index", "root", "time"])
def test_a_proof_of_something_else_is_none(shop: Typed, tmp_path: Path, change: str) -> None:
    proof = shop.json("replay", "proof", "order=57")
    told = checked(broken(proof, change), tmp_path)
    assert told.returncode != 0
    assert "proved" not in told.stdout
