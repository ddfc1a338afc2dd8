"""`docs/night-shift.md` asked again: every command on the page prints what the page shows."""

from collections.abc import Iterator
from uuid import uuid4

import psycopg
import pytest
from psycopg import conninfo, sql

from tests.adapters.night_shop import PAGE, Answer, answers, ask, night_shop, shape, stored
from tests.databases import drop_database

SHOWN = list(answers(PAGE.read_text()))


@pytest.fixture(scope="module")
def night(postgres_dsn: str) -> Iterator[str]:
    """A shop in all these states, and the address of a role that can only SELECT there."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(sql.Identifier(name)))
        dsn = conninfo.make_conninfo(postgres_dsn, dbname=name)
        stored(night_shop(), dsn)
        yield dsn
        drop_database(owner, name)


@pytest.fixture
def reader(night: str) -> Iterator[str]:
    """The same shop, for a role that can only SELECT from the logs and the lists."""
    role = f"reader_{uuid4().hex[:12]}"
    with psycopg.connect(night, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN PASSWORD 'reader'".encode())
        for schema in ("user", "goods", "inventory", "order", "read"):
            owner.execute(f'GRANT USAGE ON SCHEMA "{schema}" TO {role}'.encode())
            owner.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{schema}" TO {role}'.encode())
        yield conninfo.make_conninfo(night, user=role, password="reader")
        owner.execute(f"DROP OWNED BY {role}".encode())
        owner.execute(f"DROP ROLE {role}".encode())


def test_the_page_has_its_ten_questions() -> None:
    assert len(SHOWN) >= 10
    assert PAGE.read_text().count("\n## ") >= 10


def test_every_answer_of_the_page_is_what_the_command_prints(
    reader: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLROLL_DSN", reader)
    for shown in SHOWN:
        output, exit_code = ask(shown.command)
        assert (shape(output), exit_code) == (shape(shown.output), shown.exit_code), shown.command


def test_a_page_that_rots_is_noticed() -> None:
    assert shape("waits, for 3 s; overdue by 4 days 2 h") == shape("waits, for 9 days; overdue by 5 s")
    assert shape("1 shown, CNY 12.50 in all") != shape("1 shown, CNY 12.51 in all")
    block = "```console\n$ tillroll a b\nx\n```\nExit code 1.\n"
    assert list(answers(block)) == [Answer("a b", "x\n", 1)]
