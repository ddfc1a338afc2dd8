"""A new key for wrapping: stopped anywhere it is finished by the next run, and nobody's data is lost."""

from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import psycopg
import pytest

from adapters import pii_rotation
from adapters.key_errors import KeyFileError
from adapters.personal_data import PersonalData, WrappedTooLate
from adapters.pii_key_file import PiiKeys, read_pii_keys, write_pii_keys
from adapters.pii_rotation import add_wrapping_key, drop_old_keys, rotate, wrap_anew
from adapters.postgres_migrate import migrate_log
from adapters.postgres_personal_keys import PostgresPersonalKeys
from adapters.postgres_queries import read_pool
from adapters.private_file import folder_locked
from adapters.sealing import CannotUnseal, PersonKey, Wrapping

ROOT = "5a" * 32


@pytest.fixture(autouse=True)
def _quick(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pii_rotation, "BATCH", 3)


@pytest.fixture
def path(tmp_path: Path) -> Path:
    path = tmp_path / "pii.key"
    path.write_text(ROOT)
    path.chmod(0o600)
    return path


class Rows:
    """Keys of seven users and of two orders, wrapped with the key of the file."""

    def __init__(self, dsn: str, path: Path) -> None:
        self.dsn = dsn
        self.path = path
        self.keys = {f"user-{n}": bytes([n]) * 32 for n in range(1, 8)}
        self.keys |= {f"order-{n}": bytes([n]) * 32 for n in (8, 9)}
        wrapping = Wrapping(read_pii_keys(path).wrapping)
        self.first = {about: wrapping.wrap(about, key) for about, key in self.keys.items()}
        for about, wrapped in self.first.items():
            self.put(about, wrapped)

    def put(self, about: str, wrapped: str) -> None:
        kind, _, number = about.partition("-")
        statement = {
            "user": 'INSERT INTO "user".personal_keys (user_id, wrapped) VALUES (%s, %s)',
            "order": 'INSERT INTO "user".kept_keys (order_id, user_id, wrapped) VALUES (%s, 1, %s)',
        }[kind]
        with psycopg.connect(self.dsn) as conn:
            conn.execute(statement, (int(number), wrapped))

    def now(self) -> dict[str, str]:
        with psycopg.connect(self.dsn) as conn:
            users = conn.execute("SELECT 'user-' || user_id, wrapped FROM \"user\".personal_keys").fetchall()
            orders = conn.execute("SELECT 'order-' || order_id, wrapped FROM \"user\".kept_keys").fetchall()
        return dict([*users, *orders])

    def opened(self) -> dict[str, bytes]:
        """With what is in the file now."""
        wrapping = Wrapping(read_pii_keys(self.path).wrapping)
        return {about: wrapping.unwrap(about, wrapped) for about, wrapped in self.now().items()}


@pytest.fixture
def rows(fresh_database: str, path: Path) -> Rows:
    migrate_log(fresh_database, "user")
    return Rows(fresh_database, path)


def test_afterwards_every_key_is_the_same_and_the_old_file_opens_none(rows: Rows, path: Path) -> None:
    old = read_pii_keys(path)
    name, count = rotate(path, rows.dsn)
    assert (count, rows.opened()) == (9, rows.keys)
    assert all(wrapped.startswith(f"{name}.") for wrapped in rows.now().values())
    now = read_pii_keys(path)
    assert (now.email, len(now.wrapping)) == (old.email, 1)
    assert ROOT not in path.read_text()
    for about, wrapped in rows.first.items():
        with pytest.raises(CannotUnseal):
            Wrapping(now.wrapping).unwrap(about, wrapped)


def test_again_and_again(rows: Rows, path: Path) -> None:
    names = {rotate(path, rows.dsn)[0] for _ in range(3)}
    assert len(names) == 3
    assert rows.opened() == rows.keys


@pytest.mark.parametrize("stop_after", [1, 2])
def test_stopped_half_way_the_next_run_finishes_it(rows: Rows, path: Path, stop_after: int) -> None:
    steps: list[Callable[[], object]] = [
        lambda: add_wrapping_key(path),
        lambda: wrap_anew(path, rows.dsn),
    ]
    for step in steps[:stop_after]:
        step()
    assert rows.opened() == rows.keys
    begun = read_pii_keys(path).wrapping[0]
    rotate(path, rows.dsn)
    assert read_pii_keys(path).wrapping == (begun,)
    assert rows.opened() == rows.keys


def test_stopped_between_two_batches(rows: Rows, path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    left = iter([None] * 4)

    def until_it_dies(wrapping: Wrapping, about: str, wrapped: str) -> str:
        next(left)
        return wrapping.wrap(about, wrapping.unwrap(about, wrapped))

    with monkeypatch.context() as patch:
        patch.setattr(pii_rotation, "_again", until_it_dies)
        with pytest.raises(RuntimeError):
            rotate(path, rows.dsn)
    assert len({wrapped.partition(".")[0] for wrapped in rows.now().values()}) == 2
    assert rows.opened() == rows.keys
    rotate(path, rows.dsn)
    assert rows.opened() == rows.keys


def test_a_key_that_a_row_still_needs_is_not_dropped(rows: Rows, path: Path) -> None:
    add_wrapping_key(path)
    with pytest.raises(KeyFileError, match="9 keys of persons are still wrapped with an old key"):
        drop_old_keys(path, rows.dsn)
    assert rows.opened() == rows.keys


def test_a_key_destroyed_meanwhile_does_not_come_back(
    rows: Rows, path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def erased_in_between(wrapping: Wrapping, about: str, wrapped: str) -> str:
        if about == "user-2":
            with psycopg.connect(rows.dsn) as conn:
                conn.execute('DELETE FROM "user".personal_keys WHERE user_id = 2')
        return wrapping.wrap(about, wrapping.unwrap(about, wrapped))

    monkeypatch.setattr(pii_rotation, "_again", erased_in_between)
    _, count = rotate(path, rows.dsn)
    assert count == 8
    assert "user-2" not in rows.now()


async def test_a_registration_that_stands_still_meanwhile_wraps_again(rows: Rows, path: Path) -> None:
    """It wrapped with the old key and has not stored it yet: with two seconds' wait its key was lost."""
    running = Wrapping(read_pii_keys(path).wrapping, lambda: read_pii_keys(path).wrapping)
    async with read_pool(rows.dsn, max_size=2) as pool:
        store = PostgresPersonalKeys(pool)
        late = running.wrap("user-10", b"x" * 32)
        rotate(path, rows.dsn)
        with pytest.raises(WrappedTooLate):
            await store.make(10, late)
        with pytest.raises(WrappedTooLate):
            await store.destroy(1, {"11": late})
        assert "user-1" in rows.now()
        personal = PersonalData(store, running)
        key = await personal.make_key(10)
        await personal.destroy(1, ["11"])
    assert rows.opened()["user-10"] == key.key
    assert {"user-1", "order-11"} & rows.now().keys() == {"order-11"}


def test_a_rotation_waits_for_whoever_is_storing_a_key(rows: Rows, path: Path) -> None:
    wrapping = Wrapping(read_pii_keys(path).wrapping)
    with psycopg.connect(rows.dsn) as storing, ThreadPoolExecutor(1) as pool:
        storing.execute('SELECT name FROM "user".wrapping FOR SHARE')
        insert = 'INSERT INTO "user".personal_keys (user_id, wrapped) VALUES (10, %s)'
        storing.execute(insert, (wrapping.wrap("user-10", b"x" * 32),))
        rotating = pool.submit(rotate, path, rows.dsn)
        with pytest.raises(TimeoutError):
            rotating.result(0.5)
        storing.commit()
        rotating.result(10)
    assert rows.opened()["user-10"] == b"x" * 32


def test_of_two_rotations_one_is_told(rows: Rows, path: Path) -> None:
    with folder_locked(path), pytest.raises(KeyFileError, match="another rotation is under way"):
        rotate(path, rows.dsn)
    assert rows.now() == rows.first


def test_a_running_process_follows(rows: Rows, path: Path) -> None:
    """It opens what was wrapped anew, and wraps with the new key whatever it wraps from now on."""
    running = Wrapping(read_pii_keys(path).wrapping, lambda: read_pii_keys(path).wrapping)
    assert running.unwrap("user-1", rows.now()["user-1"]) == rows.keys["user-1"]
    name, _ = rotate(path, rows.dsn)
    assert running.unwrap("user-1", rows.now()["user-1"]) == rows.keys["user-1"]
    rows.put("user-10", running.wrap("user-10", PersonKey(b"x" * 32).key))
    assert rows.now()["user-10"].startswith(name)
    assert rows.opened()["user-10"] == b"x" * 32


def test_a_file_of_another_shop_is_found_out_and_changes_nothing(rows: Rows, path: Path) -> None:
    write_pii_keys(path, PiiKeys(b"e" * 32, (b"w" * 32,)))
    with pytest.raises(CannotUnseal, match="the key file does not have"):
        rotate(path, rows.dsn)
    assert rows.now() == rows.first
