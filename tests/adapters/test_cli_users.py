"""`tillroll user` on a real database, with no API and no broker: accounts, and what a person may ask."""

import json
from pathlib import Path

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from adapters import cli_users
from adapters.cli import main
from adapters.postgres_migrate import migrate
from adapters.postgres_projection import PostgresProjection
from adapters.settings import load_settings
from projections.order_info import ORDER_INFO
from projections.order_saga import ORDER_SAGA
from projections.shopping_cart import SHOPPING_CART
from projections.user import USER

ANN = "Ann@shop.example"


@pytest.fixture(autouse=True)
def dsn(fresh_database: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> str:
    monkeypatch.setenv("TILLROLL_DSN", fresh_database)
    monkeypatch.setenv("TILLROLL_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    migrate(load_settings())
    return fresh_database


def tillroll(*words: str, given: str | None = None) -> Result:
    app = typer.Typer()
    cli_users.register(app)
    return CliRunner().invoke(app, ["user", *words], input=given, catch_exceptions=False)


def refused(capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch, *words: str) -> str:
    """What an operator reads when a command cannot do its work: one line, and exit 1."""
    monkeypatch.setattr("sys.argv", ["tillroll", "user", *words])
    with pytest.raises(SystemExit) as ended:
        main()
    said = capsys.readouterr().err
    assert (ended.value.code, said.count("\n"), said.startswith("tillroll: ")) == (1, 1, True), said
    return said.removeprefix("tillroll: ").strip()


def project(dsn: str) -> None:
    with PostgresProjection(USER, log_dsn=dsn, read_dsn=dsn) as live:
        while live.advance():
            pass


def add(email: str = ANN) -> str:
    made = tillroll("add", email, "--role", "staff", "--password-stdin", given="a long password\n")
    assert made.exit_code == 0, made.output
    return made.output


def test_an_account_is_made_and_nothing_of_it_can_be_read_in_the_database(dsn: str) -> None:
    assert add() == f"user 1 was made: {ANN}, staff\n"
    project(dsn)
    with psycopg.connect(dsn) as conn:
        ((email, nickname),) = conn.execute('SELECT email, nickname FROM read."user"').fetchall()
        events = conn.execute('SELECT state FROM "user".events').fetchall()
    assert email.startswith("sealed1.")
    assert nickname.startswith("sealed1.")
    assert not [state for (state,) in events if b"shop.example" in state or b"argon2" in state]


def test_a_password_that_is_made_up_is_printed_once() -> None:
    made = tillroll("add", ANN, "--role", "service")
    assert "\npassword  " in made.output


def test_everything_known_of_a_person_can_be_had_by_address_or_by_id(dsn: str) -> None:
    add()
    project(dsn)
    by_email = tillroll("export", ANN.lower())
    found = json.loads(by_email.output)
    assert by_email.output == tillroll("export", "1").output
    assert found["user"]["email"] == ANN
    assert found["user"]["created_at"].endswith("Z")
    assert (found["cart"], found["orders"]) == ([], [])


def test_erasing_says_what_was_done_and_what_is_left(dsn: str) -> None:
    add()
    done = tillroll("erase", ANN, "--yes", "--by", "Bea")
    # Nobody projects here, so orders under way cannot be known yet, and their keys must not be lost.
    assert done.output.startswith("user 1 erased; the read models are behind")
    assert len(keys(dsn)) == 1
    project_orders(dsn)
    assert tillroll("erase", "1", "--yes").output == "user 1 had been erased\n"
    assert keys(dsn) == []
    with psycopg.connect(dsn) as conn:
        row = conn.execute("SELECT state FROM \"user\".events WHERE topic = 'UserErased'").fetchone()
    assert row is not None
    assert json.loads(row[0])["by"] == "operator-Bea"
    add()


def keys(dsn: str) -> list[tuple[int]]:
    with psycopg.connect(dsn) as conn:
        return conn.execute('SELECT user_id FROM "user".personal_keys').fetchall()


def project_orders(dsn: str) -> None:
    for projection in (ORDER_INFO, ORDER_SAGA, SHOPPING_CART):
        with PostgresProjection(projection, log_dsn=dsn, read_dsn=dsn) as live:
            while live.advance():
                pass


def test_without_a_yes_nothing_is_erased(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    assert refused(capsys, monkeypatch, "erase", ANN) == "nothing was erased; --yes does it without asking"
    assert tillroll("export", ANN).exit_code == 0


def test_sessions_of_a_user_are_ended(dsn: str) -> None:
    add()
    assert tillroll("log-out", ANN, "--by", "Bea").output.startswith("user 1 is logged out everywhere")
    with psycopg.connect(dsn) as conn:
        topics = conn.execute('SELECT topic FROM "user".events ORDER BY notification_id').fetchall()
    assert topics[-1] == ("LoggedOutEverywhere",)


@pytest.mark.parametrize("words", [("export",), ("erase", "--yes"), ("log-out",)])
@pytest.mark.parametrize("who", ["nobody@shop.example", "7", "0", "-1", "7 ", "٣", "9" * 30, "x", ""])
def test_who_is_not_there_is_said_in_one_line(
    words: tuple[str, ...], who: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    said = refused(capsys, monkeypatch, words[0], *words[1:], "--", who)
    assert said == f"{who}: There is no such user.".strip()


def test_a_password_of_the_block_list_is_refused(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    blocked = tmp_path / "blocked.txt"
    blocked.write_text("Password1\r\ntillroll\n", newline="")
    monkeypatch.setenv("TILLROLL_PASSWORD_BLOCKLIST", str(blocked))
    for password in ("Password1", "password1", "TILLROLL"):
        monkeypatch.setattr("sys.stdin", _Lines(f"{password}\n"))
        said = refused(capsys, monkeypatch, "add", ANN, "--role", "staff", "--password-stdin")
        assert "choose another one" in said
        assert password not in said
    add()


class _Lines:
    def __init__(self, line: str) -> None:
        self._line = line

    def readline(self) -> str:
        return self._line


def test_a_key_file_of_another_shop_is_found_out(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    add()
    (tmp_path / "data" / "keys" / "pii.key").unlink()
    said = refused(capsys, monkeypatch, "export", ANN)
    assert "does not fit the users in the database" in said
