"""Seals over real logs: what is done to a log behind our back is found, and its place is named."""

import shutil
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any
from uuid import uuid4

import psycopg
import pytest
from psycopg import conninfo
from psycopg.sql import SQL, Identifier

from adapters import seal_verify, sealer
from adapters.audit_run import audit
from adapters.postgres_log_reader import LogUnreadable
from adapters.postgres_migrate import STEPS
from adapters.postgres_seals import SealedLog
from adapters.seal_files import read_seals, read_witnesses, write_seals
from adapters.seal_key import SealKeys, read_seal_keys, replace_key, seal_keys
from adapters.seal_verify import Held, Verified, verify
from adapters.sealer import LogSealer, SealsDiffer
from adapters.settings import LOGS, Settings
from orchestrator.seals import leaf_of
from tests.adapters.read_history import SHOP, database_with
from tests.databases import drop_database

PIECE = 40
"""Events of one seal here, so that every log but the smallest has several."""

NOW = datetime(2026, 11, 28, 9, 0, tzinfo=UTC)
NO_GUARD = (
    'CREATE FUNCTION "{}".refuse_change() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN RETURN NULL; END $$'
)
"""Whoever owns the database takes the guard of a table away first."""

(SEALS_STEP,) = [step for step in STEPS if step.name.endswith("_seals")]
OPENED: list[LogSealer] = []
EVENTS = len(SHOP.logs["order"])


class Sealed:
    """A database that was sealed, whoever sealed it, and how to verify it."""

    def __init__(self, dsn: str, data: Path) -> None:
        self.dsn = dsn
        self.data = data
        self.keys = seal_keys(Settings(data=data))

    def sealer(self, log: str, keys: SealKeys | None = None) -> LogSealer:
        opened = LogSealer(self.dsn, log, keys or self.keys, self.data, lambda: NOW)
        OPENED.append(opened)
        return opened

    def seal(self, *logs: str) -> None:
        for log in logs or LOGS:
            last = None
            with_log = self.sealer(log)
            while (seal := with_log.seal()) != last:
                last = seal

    def run(self, statement: str, *values: Any) -> None:
        with psycopg.connect(self.dsn) as connection:
            connection.execute(statement.encode(), values or None)

    def verify(self, *held: Held, keys: SealKeys | None = None, **options: Any) -> Verified:
        return verify(dict.fromkeys(LOGS, self.dsn), keys or self.keys, held, **options)

    def witness(self) -> Held:
        return Held("the witness", read_witnesses(self.data, LOGS))

    def add_event(self, position: int, stream: str = "cart-99") -> None:
        self.run(
            'INSERT INTO "order".events SELECT %s, 1, topic, state, %s FROM "order".events'
            " WHERE notification_id = 1",
            stream,
            position,
        )


@pytest.fixture(scope="module")
def template(postgres_dsn: str, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Sealed]:
    with database_with(SHOP, postgres_dsn) as dsn, pytest.MonkeyPatch.context() as patch:
        patch.setattr(sealer, "MAX_EVENTS", PIECE)
        sealed = Sealed(dsn, tmp_path_factory.mktemp("sealed") / "data")
        with psycopg.connect(dsn) as connection:
            for log in LOGS:
                connection.execute(NO_GUARD.format(log).encode())
                connection.execute(SEALS_STEP.statements(log))
        sealed.seal()
        close_all()
        yield sealed


def close_all() -> None:
    while OPENED:
        OPENED.pop().close()


@pytest.fixture
def shop(template: Sealed, postgres_dsn: str, tmp_path: Path) -> Iterator[Sealed]:
    """A copy of it to do something to, with the same key and witness."""
    data = tmp_path / "copied"
    shutil.copytree(template.data, data)
    name = f"test_seals_{uuid4().hex[:12]}"
    source = Identifier(conninfo.conninfo_to_dict(template.dsn)["dbname"])  # type: ignore[arg-type]
    with psycopg.connect(postgres_dsn, autocommit=True) as owner:
        copied = SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
        owner.execute(copied.format(Identifier(name), source))
        yield Sealed(conninfo.make_conninfo(postgres_dsn, dbname=name), data)
        close_all()
        drop_database(owner, name)


def told(found: Verified) -> list[str]:
    return [f"{fault.log}: {fault.what}" for verdict in found.logs for fault in verdict.faults]


def test_what_nobody_touched_is_clean(template: Sealed) -> None:
    found = template.verify(template.witness())
    assert told(found) == []
    assert {verdict.log: verdict.events for verdict in found.logs} == {
        log: len(events) for log, events in SHOP.logs.items()
    }
    assert {verdict.unsealed for verdict in found.logs} == {0}
    assert next(verdict.seals for verdict in found.logs if verdict.log == "order") == -(-EVENTS // PIECE)


def test_a_leaf_is_what_postgres_sends_of_its_row(template: Sealed) -> None:
    with SealedLog(template.dsn, "order") as log, psycopg.connect(template.dsn) as connection:
        (sent,) = log.rows(10, 11)
        row = connection.execute(
            "SELECT notification_id, originator_version, originator_id, topic, state"
            ' FROM "order".events WHERE notification_id = 11'
        ).fetchone()
    assert row is not None
    assert sent == leaf_of(row[0], row[1], row[2].encode(), row[3].encode(), row[4])


TAMPERED: dict[str, tuple[str, str]] = {
    "one event changed": (
        'UPDATE "order".events SET state = set_byte(state, 20, get_byte(state, 20) # 1)'
        " WHERE notification_id = 57",
        "order: 1 event changed at position 57",
    ),
    "who caused it changed": (
        "UPDATE \"order\".events SET state = convert_to(replace(convert_from(state, 'UTF8'), 'user-7',"
        " 'user-8'), 'UTF8') WHERE notification_id = (SELECT min(notification_id) FROM \"order\".events"
        " WHERE convert_from(state, 'UTF8') LIKE '%%user-7%%')",
        "order: 1 event changed at position",
    ),
    "one event deleted": (
        'DELETE FROM "order".events WHERE notification_id = 57',
        "order: 1 event missing between positions 56 and 58",
    ),
    "several deleted": (
        'DELETE FROM "order".events WHERE notification_id BETWEEN 42 AND 44',
        "order: 3 events missing between positions 41 and 45",
    ),
    "two swapped": (
        'UPDATE "order".events SET notification_id = CASE notification_id WHEN 57 THEN -1 ELSE 57 END'
        ' WHERE notification_id IN (57, 60); UPDATE "order".events SET notification_id = 60'
        " WHERE notification_id = -1",
        "order: 1 event changed at position 57",
    ),
    "an event under another name": (
        "UPDATE \"order\".events SET topic = 'CartLinePut' WHERE notification_id = 3",
        "order: 1 event changed at position 3",
    ),
    "an event in another stream": (
        "UPDATE \"order\".events SET originator_id = 'cart-12345' WHERE notification_id = 3",
        "order: 1 event changed at position 3",
    ),
    "the tail cut": (
        f'DELETE FROM "order".events WHERE notification_id > {EVENTS - 3}',
        f"order: 3 events missing between positions {EVENTS - 3} and {EVENTS + 1}",
    ),
    "an inventory event deleted": (
        "DELETE FROM inventory.events WHERE notification_id = 5",
        "inventory: 1 event missing between positions 4 and 6",
    ),
    "a seal's root changed": (
        'UPDATE "order".seals SET root = sha256(root) WHERE number = 2',
        "order: seal 2 was changed, or never signed by key",
    ),
    "a seal's time changed": (
        "UPDATE \"order\".seals SET sealed_at = sealed_at + interval '1 hour' WHERE number = 2",
        "order: seal 2 was changed, or never signed by key",
    ),
    "a seal's signature changed": (
        'UPDATE "order".seals SET signature = set_byte(signature, 1, 255 - get_byte(signature, 1))'
        " WHERE number = 2",
        "order: seal 2 was changed, or never signed by key",
    ),
    "a seal deleted": (
        'DELETE FROM "order".seals WHERE number = 2',
        "order: seal 2 is missing; seal 3 comes where it must be",
    ),
    "two seals swapped": (
        'UPDATE "order".seals SET number = -number WHERE number IN (1, 2);'
        ' UPDATE "order".seals SET number = 3 + number WHERE number < 0',
        "order: seal 1 was changed, or never signed by key",
    ),
    "a seal of another log": (
        'DELETE FROM "order".seals WHERE number = 1;'
        ' INSERT INTO "order".seals SELECT * FROM inventory.seals WHERE number = 1',
        "order: seal 1 was changed, or never signed by key",
    ),
}


@pytest.mark.parametrize(("statement", "expected"), TAMPERED.values(), ids=TAMPERED.keys())
def test_what_was_done_is_found_and_its_place_named(shop: Sealed, statement: str, expected: str) -> None:
    with psycopg.connect(shop.dsn) as connection:
        connection.execute(statement.replace("%%", "%").encode())
    found = told(shop.verify())
    assert any(line.startswith(expected) for line in found), found
    assert len({line.partition(":")[0] for line in found}) == 1, "other logs were not touched"


def test_an_event_put_in_is_found(shop: Sealed) -> None:
    shop.run('UPDATE "order".events SET notification_id = -notification_id WHERE notification_id = 57')
    shop.add_event(57)
    shop.run('DELETE FROM "order".events WHERE notification_id = -57')
    assert told(shop.verify()) == ["order: 1 event changed at position 57"]


@pytest.mark.parametrize("position", [0, -5])
def test_an_event_put_in_before_the_first_is_found(shop: Sealed, position: int) -> None:
    shop.add_event(position)
    assert told(shop.verify()) == [f"order: 1 event inserted at position {position}"]


def test_marks_that_were_changed_too_cannot_hide_anything(shop: Sealed) -> None:
    shop.run('DELETE FROM "order".events WHERE notification_id = 57')
    shop.run("UPDATE \"order\".seals SET marks = ''")
    assert told(shop.verify()) == [
        "order: positions 41 to 80 are not what was sealed: 40 events then, 39 now",
    ]


def test_a_tail_cut_with_its_seals_is_known_to_whoever_held_one(shop: Sealed) -> None:
    shop.run(f'DELETE FROM "order".events WHERE notification_id > {PIECE}')
    shop.run('DELETE FROM "order".seals WHERE number > 1')
    assert told(shop.verify()) == [], "all that is left is as it was sealed"
    (line,) = told(shop.verify(shop.witness()))
    assert line.startswith("order: seals 2 to ")
    assert line.endswith(f"the log once reached position {EVENTS}")


def test_a_log_rewritten_and_sealed_again_with_the_key_is_known_to_whoever_held_a_seal(
    shop: Sealed, tmp_path: Path
) -> None:
    held = read_witnesses(shop.data, LOGS)
    shop.run('DELETE FROM "order".events WHERE notification_id = 57')
    shop.run('DELETE FROM "order".seals')
    forger = Sealed(shop.dsn, tmp_path)
    forger.keys = shop.keys
    forger.seal("order")
    assert told(shop.verify()) == [], "whoever has the key can make a chain of his own"
    (line,) = told(shop.verify(Held("paper", held)))
    assert "is another one than paper holds" in line


def test_nothing_is_sealed_over_a_seal_that_is_another_one(shop: Sealed) -> None:
    shop.run("UPDATE \"order\".seals SET sealed_at = sealed_at + interval '1 s' WHERE number > 1")
    shop.add_event(EVENTS + 1)
    with pytest.raises(SealsDiffer, match=r"log order: seal \d+ is not the one that was left there"):
        shop.sealer("order").seal()


def test_a_seal_by_another_key_is_no_seal(shop: Sealed, tmp_path: Path) -> None:
    found = told(shop.verify(keys=seal_keys(Settings(data=tmp_path))))
    assert found[0].startswith("user: seal 1 was changed, or never signed by key")


def test_what_was_sealed_before_a_key_was_replaced_still_verifies(
    shop: Sealed, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    path = tmp_path / "keys" / "seal.key"
    path.parent.mkdir()
    path.write_text((shop.data / "keys" / "seal.key").read_text())
    path.chmod(0o600)
    shop.keys = replace_key(Settings(data=tmp_path))
    shop.add_event(EVENTS + 1)
    shop.data = tmp_path
    shop.seal("order")
    with SealedLog(shop.dsn, "order") as log:
        ids = [seal.key_id for seal in log.seals()]
    assert len(set(ids)) == 2
    assert told(shop.verify()) == []
    public = tmp_path / "public"
    public.write_text(shop.keys.told())
    auditor = read_seal_keys(public)
    assert auditor.signing is None
    assert told(shop.verify(keys=auditor)) == []


def test_from_a_seal_on_only_what_is_new_is_read_and_the_old_seal_still_holds(shop: Sealed) -> None:
    earlier = read_witnesses(shop.data, LOGS)
    shop.add_event(EVENTS + 1)
    shop.run('UPDATE "order".events SET topic = topic || %s WHERE notification_id = 57', "x")
    found = shop.verify(since=earlier)
    order = next(verdict for verdict in found.logs if verdict.log == "order")
    assert (order.events, order.skipped, order.unsealed) == (0, EVENTS, 1)
    assert told(found) == [], "it was not read again"
    assert told(shop.verify()) == ["order: 1 event changed at position 57"]


def test_several_processes_find_the_same(shop: Sealed, monkeypatch: pytest.MonkeyPatch) -> None:
    shop.run('DELETE FROM "order".events WHERE notification_id IN (3, 57, 120)')
    alone = told(shop.verify())
    monkeypatch.setattr(seal_verify, "JOB_EVENTS", 50)
    heard: list[tuple[str, int, int]] = []
    assert told(shop.verify(progress=lambda *heard_of: heard.append(heard_of))) == alone
    assert len(alone) == 3
    assert heard[-1][1] >= heard[-1][2] - 3


def test_a_log_that_nobody_seals_is_told(shop: Sealed) -> None:
    shop.run("DELETE FROM goods.seals")
    (line,) = told(shop.verify())
    assert line.startswith(f"goods: none of its {len(SHOP.logs['goods'])} events is sealed")


def test_a_role_that_can_only_select_can_verify_and_cannot_seal(shop: Sealed) -> None:
    role = f"reader_{uuid4().hex[:8]}"
    with psycopg.connect(shop.dsn, autocommit=True) as owner:
        owner.execute(f"CREATE ROLE {role} LOGIN".encode())
        try:
            for log in LOGS:
                owner.execute(f'GRANT USAGE ON SCHEMA "{log}" TO {role}'.encode())
                owner.execute(f'GRANT SELECT ON ALL TABLES IN SCHEMA "{log}" TO {role}'.encode())
            reader = Sealed(conninfo.make_conninfo(shop.dsn, user=role), shop.data)
            assert reader.verify(shop.witness()).is_clean
            shop.add_event(EVENTS + 1)
            with pytest.raises(LogUnreadable, match="this role lacks rights: permission denied"):
                reader.sealer("order").seal()
            owner.execute(f'REVOKE SELECT ON "order".seals FROM {role}'.encode())
            with pytest.raises(LogUnreadable, match="log order: this role lacks rights"):
                reader.verify()
        finally:
            owner.execute(f"DROP OWNED BY {role}".encode())
            owner.execute(f"DROP ROLE {role}".encode())


def test_two_sealers_make_one_chain(shop: Sealed, tmp_path: Path) -> None:
    first, second = shop.sealer("order"), Sealed(shop.dsn, tmp_path).sealer("order", shop.keys)
    for number in range(1, 31):
        shop.add_event(EVENTS + number, f"cart-{1000 + number}")
        (first, second)[number % 2].seal()
    assert told(shop.verify(shop.witness())) == []
    found = next(verdict for verdict in shop.verify().logs if verdict.log == "order")
    assert (found.events, found.unsealed) == (EVENTS + 30, 0)


def test_while_somebody_seals_another_looks_on(shop: Sealed) -> None:
    shop.add_event(EVENTS + 1)
    with SealedLog(shop.dsn, "order") as busy, busy.taken() as is_ours:
        assert is_ours
        other = shop.sealer("order")
        seal = other.seal()
        assert seal is None
    seal = other.seal()
    assert seal is not None
    assert seal.covers.last == EVENTS + 1


def test_a_seal_that_was_lost_before_its_commit_is_made_again(
    shop: Sealed, monkeypatch: pytest.MonkeyPatch
) -> None:
    shop.add_event(EVENTS + 1)

    def dies(*_: Any) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch:
        patch.setattr(sealer, "marks_of", dies)
        with pytest.raises(KeyboardInterrupt):
            shop.sealer("order").seal()
    with monkeypatch.context() as patch:
        patch.setattr(sealer, "write_seals", dies)
        with pytest.raises(KeyboardInterrupt):
            shop.sealer("order").seal()
    shop.add_event(EVENTS + 2, "cart-98")
    shop.seal("order")
    assert told(shop.verify(shop.witness())) == []


def test_seals_can_be_held_in_a_file(template: Sealed, tmp_path: Path) -> None:
    held = read_witnesses(template.data, LOGS)
    write_seals(tmp_path / "held.json", held.values(), template.keys.public)
    assert read_seals(tmp_path / "held.json") == held
    assert held["order"].sealed_at - NOW == timedelta(0)


def test_a_read_model_row_that_was_changed_is_for_the_audit(shop: Sealed) -> None:
    shop.run("UPDATE read.order_info SET order_mount = order_mount + 1 WHERE order_id = 901")
    assert told(shop.verify()) == []
    report = audit(dict.fromkeys((*LOGS, "read"), shop.dsn))
    assert [(finding.check, finding.subject) for finding in report.findings] == [
        ("read model order_info", "order_info order_id=901")
    ]
