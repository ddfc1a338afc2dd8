"""What was stored once is read for ever: frozen bytes and frozen shapes of every name that ever was in a log.

Three files stand in tests/corpus. Entries and lines are added at their ends, never changed:
- events.json: bytes as they stand in logs, and what they mean today;
- shapes.txt: what is stored under each name, as one line;
- digests.txt: a digest of each entry's name, bytes and shape, in the order of the entries. Changing what was
  stored means changing this file too, which nobody does by accident.
"""

import json
from dataclasses import dataclass, field, make_dataclass
from datetime import datetime
from enum import IntEnum
from typing import Any, Final

import pytest

from adapters.event_codec import decode, encode
from domain.events import EVENTS, FORMS, NAMES
from domain.upcasts import UPCASTS
from orchestrator.log import Stored
from tests.adapters.event_corpus import DIGESTS, ENTRIES, SHAPES, digest, plain
from tests.adapters.event_shapes import shape_of

INSTEAD: Final = """
Logs are full of {name} as it was, so put it back as it was. When the event needs another shape:
  1. domain/events.py: store it under a new name ("{name}2", or a better word);
  2. domain/upcasts.py: upcast {name} to the new name, by a pure function over the stored fields;
  3. tests/corpus: an entry of the new name at the end of events.json, lines in shapes.txt and digests.txt.
docs/evolution.md goes through it."""

ADD: Final = """
A new name joins the corpus and then is never changed: an entry at the end of tests/corpus/events.json,
a line in shapes.txt and a line in digests.txt; tests/adapters/event_corpus.py prints all three.
docs/evolution.md goes through it."""


def stored(entry: dict[str, Any]) -> Stored:
    return Stored("any-1", 1, entry["name"], entry["bytes"].encode())


def why_not_the_same(name: str, kind: type[Any]) -> str | None:
    """In words, why the class cannot be stored under that name; None when it can."""
    frozen, now = SHAPES.get(name), shape_of(kind)
    if frozen is None:
        return f"{name} has no line in tests/corpus/shapes.txt. Today it would be:\n  {name} {now}" + ADD
    if frozen != now:
        return f"{name} has another shape.\n  stored: {frozen}\n  today:  {now}" + INSTEAD.format(name=name)
    return None


# what may not change


def test_no_name_that_was_stored_is_forgotten() -> None:
    gone = sorted({line.split(" ")[1] for line in DIGESTS} - set(FORMS))

    assert not gone, f"{gone} are in no table any more." + "".join(INSTEAD.format(name=name) for name in gone)


@pytest.mark.parametrize("name", EVENTS)
def test_what_is_stored_under_a_name_keeps_its_shape(name: str) -> None:
    why = why_not_the_same(name, EVENTS[name])

    assert why is None, why


def test_every_name_is_in_the_corpus() -> None:
    missing = sorted(set(FORMS) - {entry["name"] for entry in ENTRIES})

    assert not missing, f"{missing} have no entry in tests/corpus/events.json." + ADD


def test_entries_are_added_and_never_changed() -> None:
    today = [digest(entry, SHAPES.get(entry["name"])) for entry in ENTRIES]
    changed = [was for was, now in zip(DIGESTS, today, strict=False) if was != now]
    fresh = "\n  ".join(today[len(DIGESTS) :])

    assert not changed, f"not as it was stored: {changed}" + INSTEAD.format(name=changed[0].split(" ")[1])
    assert len(today) >= len(DIGESTS), f"entries are gone: {DIGESTS[len(today) :]}; put them back"
    assert not fresh, f"new entries need these lines at the end of tests/corpus/digests.txt:\n  {fresh}"


def test_shapes_belong_to_names_that_are_known() -> None:
    assert set(SHAPES) == set(FORMS)


# what was stored and what it means


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_bytes_that_were_stored_once_still_mean_the_same(entry: dict[str, Any]) -> None:
    recorded = decode(stored(entry))

    assert type(recorded.event).__name__ == entry["kind"]
    assert plain(recorded.event) == entry["event"]
    assert {name: plain(getattr(recorded.cause, name)) for name in entry["cause"]} == entry["cause"]


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_what_is_written_today_reads_back_as_the_same(entry: dict[str, Any]) -> None:
    recorded = decode(stored(entry))

    assert encode(recorded).topic == NAMES[type(recorded.event)]
    assert decode(encode(recorded)) == recorded


def test_what_is_written_today_is_what_stands_in_the_newest_entry_of_its_name() -> None:
    """A field that is renamed or dropped changes the bytes, although the old ones might still be read."""
    newest = {entry["name"]: entry for entry in ENTRIES if entry["name"] in EVENTS}
    written = {name: encode(decode(stored(entry))).state.decode() for name, entry in newest.items()}

    assert written == {name: entry["bytes"] for name, entry in newest.items()}


@pytest.mark.parametrize("entry", ENTRIES, ids=lambda entry: entry["name"])
def test_bytes_are_json_that_sql_can_read(entry: dict[str, Any]) -> None:
    assert set(json.loads(entry["bytes"])) == {"at", "by", "cmd", "cor", "data"}


@pytest.mark.parametrize("name", UPCASTS)
def test_an_upcast_leaves_what_it_is_given_as_it_is(name: str) -> None:
    given = next(json.loads(entry["bytes"])["data"] for entry in ENTRIES if entry["name"] == name)
    before = json.dumps(given)
    UPCASTS[name].change(given)

    assert json.dumps(given) == before


# the shape itself: what it notices


@dataclass(frozen=True)
class Inner:
    goods_id: int
    nums: int


class Colour(IntEnum):
    RED = 1
    BLUE = 2


class MoreColours(IntEnum):
    RED = 1
    BLUE = 2
    GREEN = 3


FIRST: Final[list[Any]] = [
    ("order_id", str),
    ("lines", tuple[Inner, ...]),
    ("note", str | None),
    ("colour", Colour),
    ("at", datetime),
]
SHAPE: Final = (
    "{order_id: text, lines: [{goods_id: int, nums: int}], note: text | null, colour: one of 1 2, at: time}"
)


def with_field(index: int, *changed: Any) -> list[Any]:
    return [*FIRST[:index], *changed, *FIRST[index + 1 :]]


def inner(*names_and_types: Any) -> Any:
    made = make_dataclass("Inner", names_and_types, frozen=True)
    return with_field(1, ("lines", tuple[made, ...]))  # type: ignore[valid-type]


CHANGES: Final[dict[str, list[Any]]] = {
    "renamed": with_field(0, ("order", str)),
    "removed": with_field(0),
    "added": [*FIRST, ("more", int)],
    "added with a default": [*FIRST, ("more", int, 0)],
    "given a default": with_field(4, ("at", datetime, datetime.max)),
    "given a default that is made": with_field(4, ("at", datetime, field(default_factory=datetime.now))),
    "text to int": with_field(0, ("order_id", int)),
    "text to text or null": with_field(0, ("order_id", str | None)),
    "text or null to text": with_field(2, ("note", str)),
    "another order": [FIRST[1], FIRST[0], *FIRST[2:]],
    "one instead of many": with_field(1, ("lines", Inner)),
    "one more value": with_field(3, ("colour", MoreColours)),
    "nested: renamed": inner(("goods", int), ("nums", int)),
    "nested: removed": inner(("goods_id", int)),
    "nested: added with a default": inner(("goods_id", int), ("nums", int), ("price", int, 0)),
    "nested: int to text": inner(("goods_id", int), ("nums", str)),
    "nested: int to int or null": inner(("goods_id", int), ("nums", int | None)),
    "nested: another order": inner(("nums", int), ("goods_id", int)),
}


def test_a_shape_is_told_in_one_line() -> None:
    assert shape_of(make_dataclass("Any", FIRST, frozen=True)) == SHAPE


@pytest.mark.parametrize("change", CHANGES)
def test_a_shape_that_was_changed_in_place_is_another_one(
    change: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(SHAPES, "Made", SHAPE)
    changed = make_dataclass("Any", CHANGES[change], frozen=True)
    why = why_not_the_same("Made", changed)

    assert why is not None
    assert "upcast Made to the new name" in why


def test_the_name_of_a_class_and_where_it_stands_are_no_part_of_the_shape(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setitem(SHAPES, "Made", SHAPE)

    assert why_not_the_same("Made", make_dataclass("Other", FIRST, frozen=True)) is None
