"""The embedded servers keep committed data and leave no process behind, however they or we are killed."""

import os
import random
import signal
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path
from threading import Thread
from urllib.parse import urlsplit

import nats
import psutil
import psycopg
import pytest

from adapters.embedded_servers import DataFolderInUse, EmbeddedServers, NotRunning, read_running
from adapters.processes import LOG_LIMIT_BYTES, keep_log_short
from adapters.server_account import EmbeddedServerError, server_account

GONE_LIMIT_S = 5.0
UP_LIMIT_S = 20.0

# Commits one number after the other and says each only when it is committed.
WRITER = """
import itertools, sys
from pathlib import Path
import psycopg
from adapters.embedded_servers import EmbeddedServers

with EmbeddedServers(Path(sys.argv[1])) as servers, psycopg.connect(servers.dsn, autocommit=True) as db:
    db.execute("CREATE TABLE IF NOT EXISTS kept (n bigint PRIMARY KEY)")
    last = db.execute("SELECT coalesce(max(n), 0) FROM kept").fetchone()[0]
    for n in itertools.count(last + 1):
        db.execute("INSERT INTO kept VALUES (%s)", [n])
        print(n, flush=True)
"""


@pytest.fixture(scope="module")
def servers() -> Iterator[EmbeddedServers]:
    """Servers that these tests may kill, unlike those of the session."""
    with tempfile.TemporaryDirectory(prefix="tillroll-") as folder, EmbeddedServers(Path(folder)) as servers:
        yield servers


def ask(dsn: str, question: str) -> object:
    with psycopg.connect(dsn, autocommit=True) as connection:
        row = connection.execute(question).fetchone()
        return row[0] if row else None


def do(dsn: str, statement: str) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        connection.execute(statement)


def working_in(folder: Path) -> list[int]:
    return [
        process.pid
        for process in psutil.process_iter(["cwd"])
        if process.info["cwd"] and Path(process.info["cwd"]).is_relative_to(folder)
    ]


def assert_soon_nobody_works_in(folder: Path) -> None:
    deadline = time.monotonic() + GONE_LIMIT_S
    while working_in(folder) and time.monotonic() < deadline:
        time.sleep(0.05)
    assert working_in(folder) == []


def test_the_server_has_the_settings_that_durability_rests_on(servers: EmbeddedServers) -> None:
    wanted = {
        "synchronous_commit": "on",
        "fsync": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "idle_in_transaction_session_timeout": "5s",
        "statement_timeout": "0",
        "listen_addresses": "",
        "server_encoding": "UTF8",
    }
    found = {name: ask(servers.postgres.dsn, f"SHOW {name}") for name in wanted}
    assert found == wanted


def test_the_owner_is_no_superuser_yet_may_make_roles_and_act_as_them(servers: EmbeddedServers) -> None:
    dsn = servers.postgres.dsn
    assert ask(dsn, "SELECT rolsuper FROM pg_roles WHERE rolname = current_user") is False
    do(dsn, "CREATE ROLE reader")
    do(dsn, "SET ROLE reader")


def test_what_was_written_is_there_after_stop_and_start(data_folder: Path) -> None:
    with EmbeddedServers(data_folder) as servers:
        do(servers.postgres.dsn, "CREATE TABLE kept AS SELECT 7 AS n")
        before = (servers.dsn, servers.nats_url)
    assert_soon_nobody_works_in(data_folder)
    with EmbeddedServers(data_folder) as servers:
        assert ask(servers.postgres.dsn, "SELECT n FROM kept") == 7
        assert (servers.dsn, servers.nats_url) == before


async def test_a_stream_survives_a_broker_killed_and_restarted(servers: EmbeddedServers) -> None:
    broker = await nats.connect(servers.nats.url)
    await broker.jetstream().add_stream(name="kept", subjects=["kept"])
    await broker.jetstream().publish("kept", b"7")
    await broker.close()
    os.kill(servers.nats.pid, signal.SIGKILL)
    assert await_death(servers) == ["nats"]
    broker = await nats.connect(servers.nats.url)
    assert (await broker.jetstream().stream_info("kept")).state.messages == 1
    await broker.close()


def test_the_broker_lets_nobody_in_without_the_password(servers: EmbeddedServers) -> None:
    address = urlsplit(servers.nats.url)
    with socket.create_connection((address.hostname, address.port), timeout=UP_LIMIT_S) as stranger:
        stranger.sendall(b"CONNECT {}\r\nPING\r\n")
        answers = stranger.makefile("rb").read()
    assert b"Authorization Violation" in answers
    assert b"PONG" not in answers


def await_death(servers: EmbeddedServers) -> list[str]:
    deadline = time.monotonic() + GONE_LIMIT_S
    while time.monotonic() < deadline:
        if restarted := servers.restart_dead():
            return restarted
        time.sleep(0.01)
    return []


def test_a_killed_postgres_is_started_again_with_everything_committed(servers: EmbeddedServers) -> None:
    do(servers.postgres.dsn, "CREATE TABLE survivor AS SELECT 7 AS n")
    killed = servers.postgres.pid
    os.kill(killed, signal.SIGKILL)
    assert await_death(servers) == ["postgres"]
    assert servers.postgres.pid != killed
    assert ask(servers.postgres.dsn, "SELECT n FROM survivor") == 7
    assert servers.restart_dead() == []


def test_a_second_user_of_the_folder_is_told_who_has_it(servers: EmbeddedServers) -> None:
    with pytest.raises(DataFolderInUse) as refused:
        EmbeddedServers(servers.data).start()
    assert str(refused.value) == f"the data folder {servers.data} is in use by process {os.getpid()}"


def test_the_addresses_can_be_read_only_while_the_servers_run(data_folder: Path) -> None:
    with pytest.raises(NotRunning, match="no Tillroll runs on the data folder"):
        read_running(data_folder)
    with EmbeddedServers(data_folder) as servers:
        servers.note(api_url="http://127.0.0.1:1")
        running = read_running(data_folder)
        assert (running.pid, running.dsn, running.nats_url) == (os.getpid(), servers.dsn, servers.nats_url)
        assert running.notes == {"api_url": "http://127.0.0.1:1"}
        left = (data_folder / "running.json").read_text()
    (data_folder / "running.json").write_text(left)
    with pytest.raises(NotRunning, match="its last run was killed"):
        read_running(data_folder)


def test_a_server_that_exists_elsewhere_is_not_started(data_folder: Path) -> None:
    with EmbeddedServers(data_folder, postgres=False) as servers:
        assert servers.dsn is None
        assert servers.restart_dead() == []
        assert read_running(data_folder).nats_url == servers.nats_url
    assert not (data_folder / "postgres").exists()


def test_the_servers_outlive_the_thread_that_started_them(data_folder: Path) -> None:
    servers = EmbeddedServers(data_folder)
    thread = Thread(target=servers.start)
    thread.start()
    thread.join()
    time.sleep(0.3)
    assert ask(servers.postgres.dsn, "SELECT 1") == 1
    assert servers.restart_dead() == []
    servers.stop()


def test_ctrl_c_in_our_terminal_does_not_reach_the_servers(servers: EmbeddedServers) -> None:
    assert os.getsid(0) not in {os.getsid(servers.postgres.pid), os.getsid(servers.nats.pid)}


def test_a_stale_pid_file_that_names_a_stranger_does_not_stop_the_start(data_folder: Path) -> None:
    with EmbeddedServers(data_folder):
        pid_file = (data_folder / "postgres" / "postmaster.pid").read_text().splitlines()
    stale = "\n".join([str(os.getppid()), *pid_file[1:]])
    (data_folder / "postgres" / "postmaster.pid").write_text(stale)
    with EmbeddedServers(data_folder) as servers:
        assert ask(servers.postgres.dsn, "SELECT 1") == 1


def test_a_stale_socket_lock_that_names_a_stranger_does_not_stop_the_start(
    data_folder: Path, servers: EmbeddedServers
) -> None:
    """The stranger has the server's own account: PostgreSQL takes only such a process for its rival."""
    with EmbeddedServers(data_folder, nats=False):
        (lock,) = (data_folder / "socket").glob("*.lock")
        _, *rest = lock.read_text().splitlines()
    lock.parent.mkdir()
    lock.write_text("\n".join([str(servers.nats.pid), *rest, ""]))
    server_account().own(lock.parent)
    with EmbeddedServers(data_folder, nats=False) as again:
        assert ask(again.postgres.dsn, "SELECT 1") == 1


def test_a_server_that_cannot_start_is_reported_with_its_log(data_folder: Path) -> None:
    with EmbeddedServers(data_folder):
        pass
    (data_folder / "postgres" / "postgresql.auto.conf").write_text("no_such_setting = 1\n")
    with pytest.raises(EmbeddedServerError, match="no_such_setting"):
        EmbeddedServers(data_folder).start()
    assert_soon_nobody_works_in(data_folder)


def test_a_path_too_long_for_a_socket_still_works(data_folder: Path) -> None:
    with EmbeddedServers(data_folder / ("long" * 30), nats=False) as servers:
        assert ask(servers.postgres.dsn, "SELECT 1") == 1


def test_a_log_that_grew_too_long_is_cut_and_its_last_part_kept(tmp_path: Path) -> None:
    log = tmp_path / "some.log"
    log.write_bytes(b"x" * (LOG_LIMIT_BYTES + 1))
    keep_log_short(log)
    assert log.stat().st_size == 0
    assert (tmp_path / "some.log.1").stat().st_size == LOG_LIMIT_BYTES + 1


@pytest.mark.parametrize("seed", [1, 2])
def test_nothing_runs_and_nothing_is_lost_after_our_process_is_killed(data_folder: Path, seed: int) -> None:
    moments = random.Random(seed)
    said = killed_while_writing(data_folder, moments.uniform(0, 0.5))
    for _ in range(2):
        killed_while_starting(data_folder, moments.uniform(0.05, 1.5))
        # This start comes at once, while the servers of the last one may still be shutting down.
        said = max(said, killed_while_writing(data_folder, moments.uniform(0, 0.5)))
        assert_soon_nobody_works_in(data_folder)
    with EmbeddedServers(data_folder) as servers:
        highest = ask(servers.postgres.dsn, "SELECT max(n) FROM kept")
        # One more may have been committed than was said.
        assert highest in {said, said + 1}
        assert ask(servers.postgres.dsn, "SELECT count(*) FROM kept") == highest
    assert_soon_nobody_works_in(data_folder)


def a_writer(data: Path) -> subprocess.Popen[str]:
    return subprocess.Popen([sys.executable, "-c", WRITER, data], stdout=subprocess.PIPE, text=True)


def killed_while_starting(data: Path, after_s: float) -> None:
    writer = a_writer(data)
    time.sleep(after_s)
    writer.kill()
    writer.communicate(timeout=UP_LIMIT_S)


def killed_while_writing(data: Path, after_s: float) -> int:
    """Kill -9 some time after the first commit; answers the last number that was said to be committed."""
    writer = a_writer(data)
    assert writer.stdout is not None
    first = writer.stdout.readline()
    assert first, "the writer ended by itself"
    time.sleep(after_s)
    writer.kill()
    # What was cut off in the middle of a line was not said.
    whole = (first + writer.stdout.read()).split("\n")[:-1]
    writer.communicate(timeout=UP_LIMIT_S)
    return int(whole[-1])
