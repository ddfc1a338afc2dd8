"""Event bytes are JSON: all values survive them, names of before are upcast, damage is told by its place.

What was stored once is in test_event_corpus.py.
"""

import json
from contextlib import suppress
from dataclasses import dataclass, is_dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, get_args, get_origin, get_type_hints

import msgspec
import pytest
from eventsourcing.application import Application
from eventsourcing.persistence import JSONTranscoder, MapperDeserialisationError, Notification, StoredEvent
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.event_codec import EventMapper, UnknownEventName, decode, encode, encode_all, reader
from domain.events import EVENTS, FORMS
from domain.recorded import Cause, Recorded
from domain.sale import Line, Sold
from domain.session import NONE, Session, SessionBegun, evolve
from domain.upcasts import Fields, Upcast, newest_forms
from orchestrator.log import Stored

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
        decode(Stored("sale-7", 3, "Sold", state))


@pytest.mark.parametrize("name", ["Bought", "", "sold", "domain.sale:Sold"])
def test_an_unknown_name_is_named_with_stream_and_version(name: str) -> None:
    with pytest.raises(UnknownEventName, match="sale-7 version 3") as error:
        decode(Stored("sale-7", 3, name, b"{}"))
    assert repr(name) in str(error.value)


def test_a_field_that_is_not_known_is_no_obstacle() -> None:
    state = (
        b'{"at":"2026-11-23T14:00:00Z","by":"x","cmd":"c","cor":"","data":{"lines":[],"colour":"red"},"v":2}'
    )

    assert decode(Stored("sale-7", 1, "Sold", state)).event == Sold(())


@settings(max_examples=200, deadline=None)
@given(st.sampled_from(sorted(FORMS)), st.binary(max_size=200))
def test_any_other_bytes_are_read_or_refused_by_one_error(name: str, state: bytes) -> None:
    with suppress(MapperDeserialisationError):
        decode(Stored("any-1", 1, name, state))


# names of before


AT = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
OPENED = (
    b'{"at":"2026-11-23T14:00:00Z","by":"user-7","cmd":"c","cor":"","data":'
    b'{"user_id":7,"refresh_digest":"d1","expires_at":"2026-12-23T14:00:00Z"}}'
)


def test_a_session_from_before_there_were_epochs_is_of_the_first() -> None:
    recorded = decode(Notification("session-1", 1, "SessionOpened", OPENED, id=42))
    session = evolve(NONE, recorded.event)

    assert recorded.event == SessionBegun(7, "d1", AT + timedelta(days=30), epoch=0)
    assert session == Session(7, "d1", AT + timedelta(days=30), is_open=True, epoch=0)
    assert (recorded.position, recorded.cause) == (42, Cause("c", "user-7", "", AT))


def test_what_was_upcast_is_written_under_the_newest_name_only() -> None:
    written = encode(decode(Stored("session-1", 1, "SessionOpened", OPENED)))

    assert written.topic == "SessionBegun"
    assert json.loads(written.state)["data"]["epoch"] == 0


@dataclass(frozen=True, slots=True)
class Stay:
    """As it is today, after two changes: nights were a text once, and the guest had no name."""

    nights: int
    guest: str
    until: datetime


def _counted(fields: Fields) -> Fields:
    return {"nights": int(fields["nights"]), "until": fields["until"]}


def _named(fields: Fields) -> Fields:
    return {**fields, "guest": f"guest {fields['nights']}"}


STAYS = newest_forms({"Stay3": Stay}, {"Stay": Upcast("Stay2", _counted), "Stay2": Upcast("Stay3", _named)})
UNTIL = b'"until":"2026-11-23T14:00:00Z"'


@pytest.mark.parametrize(
    ("name", "data"),
    [
        ("Stay", b'{"nights":"2",%b}'),
        ("Stay2", b'{"nights":2,%b}'),
        ("Stay3", b'{"nights":2,"guest":"guest 2",%b}'),
    ],
)
def test_every_hop_to_the_newest_form_is_taken(name: str, data: bytes) -> None:
    assert reader(STAYS[name])(in_envelope(data % UNTIL)).data == Stay(2, "guest 2", AT)


def in_envelope(data: bytes) -> bytes:
    return b'{"at":"2026-11-23T14:00:00Z","by":"x","cmd":"c","cor":"","data":%b}' % data


@pytest.mark.parametrize(
    "data",
    [
        b"[]",
        b"7",
        b"{",
        b"{}",
        b'{"nights":"two",%b}' % UNTIL,
        b'{"nights":null,%b}' % UNTIL,
        b'{"nights":"2","until":"later"}',
    ],
)
def test_what_cannot_be_upcast_is_refused_as_any_damage_is(data: bytes) -> None:
    with pytest.raises(msgspec.DecodeError):
        reader(STAYS["Stay"])(in_envelope(data))


def test_damage_under_a_name_of_before_is_named_with_stream_and_version() -> None:
    damaged = OPENED.replace(b'"user_id":7', b'"user_id":"seven"')

    with pytest.raises(MapperDeserialisationError, match="SessionOpened at session-1 version 3"):
        decode(Stored("session-1", 3, "SessionOpened", damaged))


def test_a_plain_application_of_the_library_sees_events_in_their_newest_form() -> None:
    app: Any = Application({"MAPPER_TOPIC": "adapters.event_codec:EventMapper"})
    app.recorder.insert_events([StoredEvent("session-1", 1, "SessionOpened", OPENED)])

    [recorded] = app.events.get("session-1")
    assert recorded.event == SessionBegun(7, "d1", AT + timedelta(days=30), epoch=0)
    app.close()


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


CAUSES = st.builds(Cause, **{name: values(kind) for name, kind in get_type_hints(Cause).items()})


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
        assert encode(again).state == written.state
        # Many are encoded together for speed, and the audit compares with the bytes of one alone.
        assert encode_all(cause, [("any-1", 7, event), ("any-1", 7, event)]) == [written, written]

    survives()


# the library's mapper


def test_it_is_the_librarys_mapper_and_a_notification_brings_its_position() -> None:
    at = AT + timedelta(microseconds=1)
    recorded = Recorded("sale-7", 1, Sold((Line(1, 2),)), Cause("c", "user-1", "7", at))
    mapper = EventMapper(JSONTranscoder())
    written = mapper.to_stored_event(recorded)
    note = Notification(written.originator_id, 1, written.topic, written.state, id=42)

    assert mapper.to_domain_event(written) == recorded
    assert mapper.to_domain_event(note).position == 42
