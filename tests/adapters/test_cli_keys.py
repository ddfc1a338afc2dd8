"""`tillroll keys`: new keys while the shop runs, one at a time, and none of them ever printed."""

import json
import os
import re
from concurrent.futures import ThreadPoolExecutor
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import psycopg
import pytest
import typer
from typer.testing import CliRunner, Result

from adapters import cli_keys, token_rotation
from adapters.cli import main
from adapters.key_errors import KeyFileError
from adapters.paseto_key import generate
from adapters.paseto_tokens import TokenRefused, Tokens
from adapters.pii_key_file import pii_keys
from adapters.postgres_migrate import migrate_log
from adapters.sealing import Wrapping
from adapters.settings import load_settings
from adapters.token_key_file import WatchedRing, read_ring, token_key, write_ring
from adapters.token_ring import MAX_KEYS, OVERLAP, KeyRing
from adapters.token_rotation import CannotRotate, replace_all, rotate
from domain.user import Role


@pytest.fixture(autouse=True)
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The token key of a data folder that has been used."""
    monkeypatch.setenv("TILLROLL_DATA", str(tmp_path / "data"))
    monkeypatch.chdir(tmp_path)
    token_key(load_settings())
    pii_keys(load_settings())
    return tmp_path / "data" / "keys" / "token.key"


def tillroll(*words: str) -> Result:
    app = typer.Typer()
    app.add_typer(cli_keys.app, name="keys")
    return CliRunner().invoke(app, ["keys", *words], catch_exceptions=False)


def listed() -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = json.loads(tillroll("list", "--json").output)["items"]
    return found


def secrets_in(path: Path) -> list[str]:
    return re.findall(r"k4\.secret\.\S+|[0-9a-f]{64}", path.read_text())


def test_a_list_names_every_key_and_shows_none(path: Path) -> None:
    tillroll("rotate")
    states = [(each["key"], each["state"]) for each in listed()]
    assert states == [("token", "signing"), ("token", "next"), ("personal", "wrapping")]
    shown = tillroll("list").output + tillroll("list", "--json").output
    secrets = [*secrets_in(path), *secrets_in(path.with_name("pii.key"))]
    assert len(secrets) == 4
    assert not [secret for secret in secrets if secret in shown]
    assert all(each["name"][:12] in tillroll("list").output for each in listed())


def test_a_new_key_signs_later_and_tokens_of_the_old_one_stay_good(path: Path) -> None:
    now = datetime.now(UTC)
    running = Tokens(WatchedRing(path), environment="test", clock=lambda: now)
    before = running.mint(user_id=7, role=Role.STAFF, session_id="s").token
    assert tillroll("rotate", "--in", "30").exit_code == 0
    other = Tokens(WatchedRing(path), environment="test", clock=lambda: now)
    assert other.mint(user_id=7, role=Role.STAFF, session_id="s").token.endswith(before.rpartition(".")[2])
    now += timedelta(seconds=31)
    after = other.mint(user_id=7, role=Role.STAFF, session_id="s").token
    assert not after.endswith(before.rpartition(".")[2])
    assert other.verify(before).user_id == other.verify(after).user_id == running.verify(after).user_id == 7


def test_one_rotation_at_a_time(path: Path) -> None:
    tillroll("rotate")
    with pytest.raises(CannotRotate, match="another rotation is pending"):
        tillroll("rotate")
    assert len(read_ring(path).keys) == 2


def test_of_two_at_once_one_is_told_and_no_key_is_lost(path: Path) -> None:
    def attempt(_: int) -> bool:
        try:
            rotate(path, datetime.now(UTC), delay_s=60)
        except CannotRotate:
            return False
        return True

    with ThreadPoolExecutor(6) as pool:
        done = list(pool.map(attempt, range(6)))
    assert done.count(True) == 1
    assert len(read_ring(path).keys) == 2


def test_after_a_leak_every_token_there_is_dies_at_once(path: Path) -> None:
    seconds = 0.0
    running = Tokens(WatchedRing(path, lambda: seconds), environment="test", clock=lambda: datetime.now(UTC))
    stolen = running.mint(user_id=7, role=Role.STAFF, session_id="s").token
    assert running.verify(stolen)
    said = tillroll("rotate", "--compromised").output
    assert "every access token made before is dead" in said
    seconds = 1.0
    with pytest.raises(TokenRefused):
        running.verify(stolen)
    assert running.verify(running.mint(user_id=7, role=Role.STAFF, session_id="s").token)


def test_retired_keys_leave_the_file_with_the_next_rotation(path: Path) -> None:
    now = datetime.now(UTC)
    ages = [now - 3 * OVERLAP, now - 2 * OVERLAP, now - OVERLAP / 2]
    keys = [(at, generate()) for at in ages]
    write_ring(path, KeyRing(keys))
    states = [each["state"] for each in listed() if each["key"] == "token"]
    assert states == ["retired", "accepted", "signing"]
    tillroll("rotate")
    assert [each.key_id for each in read_ring(path).keys[:-1]] == [key.key_id for _, key in keys[1:]]


def test_a_file_that_is_full_or_damaged_or_open_to_others_is_left_as_it_is(path: Path) -> None:
    now = datetime.now(UTC)
    write_ring(path, KeyRing((now - timedelta(seconds=n + 1), generate()) for n in range(MAX_KEYS)))
    with pytest.raises(CannotRotate, match="there are 16 keys"):
        tillroll("rotate")
    for text, mode, why in (("nonsense", 0o600, "not an Ed25519"), (path.read_text(), 0o644, "chmod 600")):
        path.write_text(text)
        path.chmod(mode)
        for words in (("rotate",), ("rotate", "--compromised"), ("list",)):
            with pytest.raises(KeyFileError, match=why):
                tillroll(*words)
        assert path.read_text() == text


def test_what_goes_wrong_is_one_line(
    path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    path.unlink()
    for words in (["rotate"], ["list"], ["rotate", "--compromised"], ["rotate", "personal", "--compromised"]):
        monkeypatch.setattr("sys.argv", ["tillroll", "keys", *words])
        with pytest.raises(SystemExit) as ended:
            main()
        assert ended.value.code == 1
        assert re.fullmatch(r"tillroll: [^\n]+\n", capsys.readouterr().err)


def test_a_disk_that_refuses_changes_nothing(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    before = path.read_text()
    monkeypatch.setattr(token_rotation, "write_ring", full)
    with pytest.raises(CannotRotate, match="No space left on device"):
        replace_all(path, datetime.now(UTC))
    assert path.read_text() == before


def test_a_link_stays_one_and_the_file_behind_it_is_replaced(path: Path, tmp_path: Path) -> None:
    elsewhere = tmp_path / "mounted" / "token.key"
    elsewhere.parent.mkdir()
    path.rename(elsewhere)
    path.symlink_to(elsewhere)
    tillroll("rotate")
    assert path.readlink() == elsewhere
    assert len(read_ring(elsewhere).keys) == 2
    assert [*elsewhere.parent.iterdir()] == [elsewhere]


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
def test_the_file_stays_its_owners_when_root_rotates(path: Path) -> None:
    os.chown(path, 10001, 10002)
    tillroll("rotate")
    found = path.stat()
    assert (found.st_uid, found.st_gid, found.st_mode & 0o777) == (10001, 10002, 0o600)


def test_a_rename_that_fails_leaves_no_key_behind(path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def busy(*_: object) -> None:
        raise OSError(16, "Device or resource busy")

    monkeypatch.setattr(Path, "replace", busy)
    before = sorted(path.parent.iterdir())
    with pytest.raises(CannotRotate, match="cannot be replaced here: Device or resource busy"):
        tillroll("rotate")
    assert sorted(path.parent.iterdir()) == before


def test_the_key_that_wraps_is_replaced(
    path: Path, fresh_database: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("TILLROLL_USER_DSN", fresh_database)
    migrate_log(fresh_database, "user")
    wrapping = Wrapping(pii_keys(load_settings()).wrapping)
    with psycopg.connect(fresh_database) as conn:
        insert = 'INSERT INTO "user".personal_keys (user_id, wrapped) VALUES (7, %s)'
        conn.execute(insert, (wrapping.wrap("user-7", b"k" * 32),))
    before = listed()[-1]["name"]
    said = tillroll("rotate", "personal").output
    after = listed()[-1]["name"]
    assert before != after
    assert said.startswith(f"{after} wraps the keys of persons now; wrapped anew: 1.")
    with psycopg.connect(fresh_database) as conn:
        row = conn.execute('SELECT wrapped FROM "user".personal_keys').fetchone()
    assert row is not None
    assert Wrapping(pii_keys(load_settings()).wrapping).unwrap("user-7", row[0]) == b"k" * 32
    assert path.exists()
