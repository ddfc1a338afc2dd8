"""Wire bytes: many items in one message within its limits, and what nobody can read is poison."""

import os
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.wire_codec import KINDS, MAX_BYTES, MAX_ITEMS, VERSION, Poison, decode, encode
from domain.refusals import Short
from domain.sale import Line, Rollback, Sell
from orchestrator.messages import RolledBackReply, SellRefusedReply, SoldReply

SELL = Sell("7", (Line(12, 2), Line(13, 1)))
NUMBERS = st.integers(-(2**63), 2**63 - 1)
WORDS = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
ORDER_IDS = st.integers(1, 2**63 - 1).map(str)
UNITS = st.integers(1, 2**31 - 1)
ITEMS: st.SearchStrategy[Any] = st.one_of(
    st.builds(Sell, ORDER_IDS, st.lists(st.builds(Line, UNITS, UNITS), max_size=3).map(tuple)),
    st.builds(Rollback, ORDER_IDS),
    st.builds(SoldReply, ORDER_IDS),
    st.builds(
        SellRefusedReply,
        ORDER_IDS,
        WORDS,
        st.lists(st.builds(Short, NUMBERS, NUMBERS, NUMBERS), max_size=3).map(tuple),
    ),
    st.builds(RolledBackReply, ORDER_IDS, st.booleans()),
)


@settings(max_examples=100, deadline=None)
@given(st.lists(ITEMS, max_size=20))
def test_everything_arrives_as_it_was_sent_each_kind_in_its_order(items: list[Any]) -> None:
    arrived: list[Any] = []
    for name, chunk, data in encode(items):
        assert decode(data) == chunk
        assert {type(item) for item in chunk} == {KINDS[name]}
        arrived += chunk

    for kind in KINDS.values():
        assert [i for i in arrived if type(i) is kind] == [i for i in items if type(i) is kind]


def test_nothing_to_send_is_no_message() -> None:
    assert list(encode([])) == []


def test_a_message_is_json_with_a_version() -> None:
    ((name, _, data),) = encode([SELL])

    assert name == "Sell"
    assert msgspec.json.decode(data) == {
        "v": VERSION,
        "type": "Sell",
        "items": [
            {"order_id": "7", "lines": [{"goods_id": 12, "nums": 2}, {"goods_id": 13, "nums": 1}]},
        ],
    }


@pytest.mark.parametrize(
    ("count", "sizes"),
    [
        (MAX_ITEMS, [MAX_ITEMS]),
        (MAX_ITEMS + 1, [MAX_ITEMS, 1]),
        (3 * MAX_ITEMS, [MAX_ITEMS] * 3),
    ],
)
def test_a_message_holds_so_many_items(count: int, sizes: list[int]) -> None:
    assert [len(chunk) for _, chunk, _ in encode([Rollback(str(n)) for n in range(count)])] == sizes


def test_a_message_holds_so_many_bytes() -> None:
    large = [Sell(str(n), tuple(Line(goods_id, 1) for goods_id in range(2_000))) for n in range(60)]
    sizes = [len(data) for _, _, data in encode(large)]

    assert len(sizes) > 1
    assert max(sizes) < MAX_BYTES + 1_000


def test_the_largest_order_fits_into_what_the_broker_takes() -> None:
    largest = Sell(str(2**63 - 1), tuple(Line(2**63 - 1, 2**31 - 1) for _ in range(2_000)))
    ((_, chunk, data),) = encode([largest])

    assert chunk == [largest]
    assert len(data) < 2**20


def test_an_item_larger_than_a_message_goes_alone() -> None:
    huge = SellRefusedReply("8", "x" * MAX_BYTES, ())
    small = [SellRefusedReply(order_id, "stock-short", ()) for order_id in ("7", "9")]

    assert [chunk for _, chunk, _ in encode([small[0], huge, small[1]])] == [[small[0]], [huge], [small[1]]]


POISON = {
    "nothing": b"",
    "not JSON": b"\x00\x01\x02",
    "not UTF-8": b'{"v":1,"type":"\xff","items":[]}',
    "item not UTF-8": b'{"v":1,"type":"Rollback","items":[{"order_id":"\xff"}]}',
    "a list": b"[1,2,3]",
    "no version": b'{"type":"Sell","items":[]}',
    "unknown version": b'{"v":2,"type":"Sell","items":[]}',
    "unknown type": b'{"v":1,"type":"Buy","items":[]}',
    "no order id": b'{"v":1,"type":"Rollback","items":[{}]}',
    "order id of another type": b'{"v":1,"type":"Rollback","items":[{"order_id":7}]}',
    "one bad item of two": b'{"v":1,"type":"Rollback","items":[{"order_id":"7"},{"order_id":null}]}',
    "order id that is no number": b'{"v":1,"type":"Rollback","items":[{"order_id":"abc"}]}',
    "order id written otherwise": b'{"v":1,"type":"Rollback","items":[{"order_id":"007"}]}',
    "units that would be added": (
        b'{"v":1,"type":"Sell","items":[{"order_id":"7","lines":[{"goods_id":1,"nums":-5}]}]}'
    ),
    "cut off": b'{"v":1,"type":"Rollback","items":[{"order_id":"7"}',
    "8 MB of zeros": bytes(8 * 2**20),
    "8 MB of words": b'{"v":1,"type":"' + b"x" * 8 * 2**20 + b'","items":[]}',
    "deep lists": b'{"v":1,"type":"Sell","items":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    "deep objects": b'{"v":1,"type":"Sell","items":[' + b'{"a":' * 100_000 + b"1" + b"}" * 100_000 + b"]}",
    "too large": b'{"v":1,"type":"Sell","items":[{"order_id":"7","lines":[{"goods_id":1e999,"nums":1}]}]}',
}


@pytest.mark.parametrize("data", POISON.values(), ids=POISON)
def test_what_cannot_be_read_is_poison_and_says_why_in_few_words(data: bytes) -> None:
    with pytest.raises(Poison) as error:
        decode(data)
    assert 0 < len(str(error.value)) < 500


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_random_bytes_are_poison(size: int) -> None:
    for _ in range(20):
        with pytest.raises(Poison):
            decode(b"\x00" + os.urandom(size))


@settings(max_examples=300, deadline=None)
@given(st.binary(max_size=100).map(lambda tail: b'{"v":1,"type":"Sell","items":[{"order_id":' + tail))
def test_no_other_error_ever_comes_out(data: bytes) -> None:
    with pytest.raises(Poison):
        decode(data)
