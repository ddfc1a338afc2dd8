"""Real servers for the tests: one PostgreSQL and one NATS a session, a database a test."""

import shutil
import tempfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import conninfo, sql

from adapters.embedded_servers import EmbeddedServers
from tests.databases import drop_database

FIGURES = pytest.StashKey[list[str]]()
"""Lines that tests want to be read: how much was looked at, and how fast."""


@pytest.fixture
def figure(pytestconfig: pytest.Config) -> Callable[[str], None]:
    """Prints a line at the end of the run, whether its test passes or not."""
    return pytestconfig.stash.setdefault(FIGURES, []).append


@pytest.hookimpl(optionalhook=True)
def pytest_testnodedown(node: Any) -> None:
    """Figures of a worker, where the tests run in several processes."""
    figures = getattr(node, "workeroutput", {}).get("figures", [])
    node.config.stash.setdefault(FIGURES, []).extend(figures)


def pytest_sessionfinish(session: pytest.Session) -> None:
    if hasattr(session.config, "workeroutput"):
        session.config.workeroutput["figures"] = session.config.stash.get(FIGURES, [])


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter, config: pytest.Config) -> None:
    lines = config.stash.get(FIGURES, [])
    if lines:
        terminalreporter.section("figures")
    for line in lines:
        terminalreporter.write_line(line)


@pytest.fixture
def data_folder() -> Iterator[Path]:
    """A path for a data folder that does not exist yet; whatever is made there is removed."""
    with _short_folder() as folder:
        yield folder / "data"


@pytest.fixture(scope="session")
def postgres_dsn(_servers: EmbeddedServers) -> str:
    """The database `tillroll` of the session's server, as its owner. Shared: leave nothing behind in it."""
    return _servers.postgres.dsn


@pytest.fixture(scope="session")
def nats_url(_servers: EmbeddedServers) -> str:
    """The session's broker. Shared: begin every subject, stream and consumer name with `wire_prefix`."""
    return _servers.nats.url


@pytest.fixture
def fresh_database(postgres_dsn: str) -> Iterator[str]:
    """The DSN of a new, empty database, dropped after the test with whoever is still connected."""
    name = f"test_{uuid4().hex[:12]}"
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        owner.execute(sql.SQL("CREATE DATABASE {} STRATEGY file_copy").format(sql.Identifier(name)))
        yield conninfo.make_conninfo(postgres_dsn, dbname=name)
        drop_database(owner, name)


@pytest.fixture
def wire_prefix() -> str:
    """A word no other test uses, good in subjects and in names of streams and consumers."""
    return f"t{uuid4().hex[:12]}"


@pytest.fixture(scope="session")
def _servers() -> Iterator[EmbeddedServers]:
    with _short_folder() as folder, EmbeddedServers(folder / "data", fsync=False) as servers:
        yield servers


@contextmanager
def _short_folder() -> Iterator[Path]:
    """Not pytest's tmp_path: that is too long for a socket, and closed again when another session starts."""
    folder = Path(tempfile.mkdtemp(prefix="tillroll-"))
    try:
        yield folder
    finally:
        shutil.rmtree(folder)
