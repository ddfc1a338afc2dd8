"""Event bytes are a format: what was stored once is read for ever, by the name it was stored under."""

import json
from contextlib import suppress
from dataclasses import asdict, fields, is_dataclass
from datetime import UTC, datetime, timedelta
from enum import IntEnum
from pathlib import Path
from typing import Any, get_args, get_origin, get_type_hints

import pytest
from eventsourcing.persistence import JSONTranscoder, MapperDeserialisationError, Notification, StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.event_codec import EventMapper, UnknownEventName, decode, encode
from domain.events import EVENTS
from domain.recorded import Cause, Recorded
from domain.sale import Line, Sold

CORPUS = Path(__file__).parents[1] / "corpus" / "events.json"
"""Stored bytes, as they stand in logs. Entries are added, never changed: that is what the tests are for."""

ENTRIES: list[dict[str, Any]] = json.loads(CORPUS.read_text())


def stored(entry: dict[str, Any]) -> StoredEvent:
    return StoredEvent("any-1", 1, entry["name"], entry["bytes"].encode())


def plain(value: Any) -> Any:
    """A value with nothing in it but what JSON has; times in seconds since 1970."""
    if is_dataclass(value) and not isinstance(value, type):
        return {field.name: plain(getattr(value, field.name)) for field in fields(value)}
    if isinstance(value, tuple):
        return [plain(item) for item in value]
    if isinstance(value, datetime):
        return value.timestamp()
    return int(value) if isinstance(value, IntEnum) else value


# the corpus


def test_every_name_is_in_the_corpus() -> None:
    """A new event joins it: add bytes as they are stored, and what they mean."""
    assert {entry["name"] for entry in ENTRIES} >= set(EVENTS)


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_bytes_that_were_stored_once_still_mean_the_same(entry: dict[str, Any]) -> None:
    recorded = decode(stored(entry))

    assert type(recorded.event).__name__ == entry["kind"]
    assert plain(recorded.event) == entry["event"]
    assert plain(recorded.cause) == entry["cause"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_what_is_written_today_reads_back_as_the_same(entry: dict[str, Any]) -> None:
    recorded = decode(stored(entry))

    assert decode(encode(recorded)) == recorded


def test_what_is_written_today_is_what_stands_in_the_newest_entry_of_its_name() -> None:
    """A field that is renamed or dropped changes the bytes, although the old ones might still be read."""
    newest = {entry["name"]: entry for entry in ENTRIES}
    written = {name: encode(decode(stored(entry))).state.decode() for name, entry in newest.items()}

    assert written == {name: entry["bytes"] for name, entry in newest.items()}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_bytes_are_json_that_sql_can_read(entry: dict[str, Any]) -> None:
    assert set(json.loads(entry["bytes"])) == {"at", "by", "cmd", "cor", "data"}


# what cannot be read


@pytest.mark.parametrize(
    "state",
    [
        b"",
        b"{",
        b"null",
        b"[]",
        b"\xff\xfe",
        b'{"at":"2026-11-23T14:00:00Z","by":"\xff","cmd":"c","cor":"","data":{"lines":[]}}',
        b'{"at":"2026-11-23T14:00:00Z","by":"x","cmd":"c","cor":"","data":{"lines":[],"\xff":1}}',
        b'{"at":"2026-11-23T14:00:00Z","by":"x","cmd":"c","cor":""}',
        b'{"at":"yesterday","by":"x","cmd":"c","cor":"","data":{"lines":[]}}',
        b'{"at":"2026-11-23T14:00:00Z","by":"x","cmd":"c","cor":"","data":{}}',
        b'{"at":"2026-11-23T14:00:00Z","by":"x","cmd":"c","cor":"","data":{"lines":[{"goods_id":"one"}]}}',
        b'{"at":"2026-11-23T14:00:00Z","by":"x","cmd":"c","cor":"","data":' + b"[" * 5_000 + b"}",
    ],
)
def test_corrupt_bytes_are_named_with_stream_and_version(state: bytes) -> None:
    with pytest.raises(MapperDeserialisationError, match="Sold at sale-7 version 3"):
        decode(StoredEvent("sale-7", 3, "Sold", state))


@pytest.mark.parametrize("name", ["Bought", "", "sold", "domain.sale:Sold"])
def test_an_unknown_name_is_named_with_stream_and_version(name: str) -> None:
    with pytest.raises(UnknownEventName, match="sale-7 version 3") as error:
        decode(StoredEvent("sale-7", 3, name, b"{}"))
    assert repr(name) in str(error.value)


def test_a_field_that_is_not_known_is_no_obstacle() -> None:
    state = (
        b'{"at":"2026-11-23T14:00:00Z","by":"x","cmd":"c","cor":"","data":{"lines":[],"colour":"red"},"v":2}'
    )

    assert decode(StoredEvent("sale-7", 1, "Sold", state)).event == Sold(())


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(EVENTS)), st.binary(max_size=200))
def test_any_other_bytes_are_read_or_refused_by_one_error(name: str, state: bytes) -> None:
    with suppress(MapperDeserialisationError):
        decode(StoredEvent("any-1", 1, name, state))


# any value


SIMPLE: dict[Any, st.SearchStrategy[Any]] = {
    int: st.integers(-(2**63), 2**63 - 1),
    str: st.text(st.characters(exclude_categories=["Cs"]), max_size=20),
    bool: st.booleans(),
    type(None): st.none(),
    datetime: st.datetimes(datetime(1, 1, 2), datetime(9999, 12, 30), timezones=st.just(UTC)),
}


def values(hint: Any) -> st.SearchStrategy[Any]:
    """Values of a type as they can stand in an event: whole numbers of 64 bits, UTC times, any text."""
    if is_dataclass(hint) and isinstance(hint, type):
        return st.builds(hint, **{name: values(kind) for name, kind in get_type_hints(hint).items()})
    if get_origin(hint) is tuple:
        return st.lists(values(get_args(hint)[0]), max_size=3).map(tuple)
    if get_args(hint):
        return st.one_of([values(kind) for kind in get_args(hint)])
    return SIMPLE[hint] if hint in SIMPLE else st.sampled_from(list(hint))


CAUSES = values(Cause)


@pytest.mark.parametrize("name", EVENTS)
def test_every_value_survives_its_bytes(name: str) -> None:
    @settings(max_examples=25, deadline=None)
    @given(values(EVENTS[name]), CAUSES)
    def survives(event: Any, cause: Cause) -> None:
        recorded = Recorded("any-1", 7, event, cause)
        written = encode(recorded)
        assert (written.originator_id, written.originator_version, written.topic) == ("any-1", 7, name)
        again = decode(written)
        assert again == recorded
        assert plain(asdict(again)) == plain(asdict(recorded))

    survives()


# the library's mapper


def test_it_is_the_librarys_mapper_and_a_notification_brings_its_position() -> None:
    at = datetime(2026, 11, 23, 14, 0, tzinfo=UTC) + timedelta(microseconds=1)
    recorded = Recorded("sale-7", 1, Sold((Line(1, 2),)), Cause("c", "user-1", "7", at))
    mapper = EventMapper(JSONTranscoder())
    written = mapper.to_stored_event(recorded)
    note = Notification(written.originator_id, 1, written.topic, written.state, id=42)

    assert mapper.to_domain_event(written) == recorded
    assert mapper.to_domain_event(note).position == 42
