"""Wire bytes: many items in one message within its limits, and what nobody can read is poison."""

import json
import os
from contextlib import suppress
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from adapters.wire_codec import (
    KINDS,
    MAX_BYTES,
    MAX_ITEMS,
    VERSION,
    Poison,
    decode,
    decode_commands,
    decode_replies,
    encode,
)
from domain.refusals import Short
from domain.sale import Line, Rollback, Sell
from orchestrator.messages import RolledBackReply, SellRefusedReply, SoldReply

SELL = Sell("7", (Line(12, 2), Line(13, 1)))
NUMBERS = st.integers(0, 2**63 - 1)
REASONS = st.from_regex(r"[a-z][a-z-]{0,39}", fullmatch=True)
ORDER_IDS = st.integers(1, 2**63 - 1).map(str)
UNITS = st.integers(1, 2**31 - 1)
ITEMS: st.SearchStrategy[Any] = st.one_of(
    st.builds(Sell, ORDER_IDS, st.lists(st.builds(Line, UNITS, UNITS), min_size=1, max_size=3).map(tuple)),
    st.builds(Rollback, ORDER_IDS),
    st.builds(SoldReply, ORDER_IDS),
    st.builds(
        SellRefusedReply,
        ORDER_IDS,
        REASONS,
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


def rollback(order_id: bytes) -> bytes:
    return b'{"v":1,"type":"Rollback","items":[{"order_id":%s}]}' % order_id


def sell(lines: bytes) -> bytes:
    return b'{"v":1,"type":"Sell","items":[{"order_id":"7","lines":[%s]}]}' % lines


def refused(reason: bytes, short: bytes) -> bytes:
    item = b'{"order_id":"7","reason":%s,"short":%s}' % (reason, short)
    return b'{"v":1,"type":"SellRefused","items":[%s]}' % item


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
    "order id beyond what can be kept": rollback(b'"9223372036854775808"'),
    "order id that is larger still": rollback(b'"9999999999999999999"'),
    "order id with a line break": b'{"v":1,"type":"Rollback","items":[{"order_id":"7\\n"}]}',
    "order id in other digits": '{"v":1,"type":"Rollback","items":[{"order_id":"\u0667"}]}'.encode(),
    "nothing to sell": b'{"v":1,"type":"Sell","items":[{"order_id":"7","lines":[]}]}',
    "units beyond a line's": sell(b'{"goods_id":1,"nums":2147483648}'),
    "units that are not whole": sell(b'{"goods_id":1,"nums":1.5}'),
    "units that are no number": sell(b'{"goods_id":1,"nums":NaN}'),
    "goods beyond what can be kept": sell(b'{"goods_id":9223372036854775808,"nums":1}'),
    "goods of a thousand digits": sell(b'{"goods_id":1' + b"0" * 1_000 + b',"nums":1}'),
    "goods of 10,000 digits": sell(b'{"goods_id":1' + b"0" * 10_000 + b',"nums":1}'),
    "version of 1,000 digits": b'{"v":1' + b"0" * 1_000 + b',"type":"Sell","items":[]}',
    "version of 10,000 digits": b'{"v":1' + b"0" * 10_000 + b',"type":"Sell","items":[]}',
    "100,000 lines": sell(b",".join(b'{"goods_id":%d,"nums":1}' % n for n in range(1, 100_001))),
    "201 items": b'{"v":1,"type":"Rollback","items":[' + b",".join([b'{"order_id":"7"}'] * 201) + b"]}",
    "refused for what cannot be kept": refused(b'"stock\\u0000short"', b"[]"),
    "refused for a story": refused(b'"' + b"a" * 41 + b'"', b"[]"),
    "short of less than nothing": refused(b'"stock-short"', b'[{"goods_id":1,"wanted":2,"available":-1}]'),
    "returned perhaps": b'{"v":1,"type":"RolledBack","items":[{"order_id":"7","returned":"perhaps"}]}',
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
def test_what_breaks_off_in_the_middle_is_poison(data: bytes) -> None:
    with pytest.raises(Poison):
        decode(data)


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=10), inner, max_size=3),
    max_leaves=8,
)
ORDER_ID_FORMS = st.integers(-5, 2**70).map(str) | st.text(max_size=5) | JSON
LINES = st.lists(st.fixed_dictionaries({"goods_id": st.integers() | JSON, "nums": st.integers() | JSON}))
NEAR = st.fixed_dictionaries(
    {"v": st.just(1) | JSON, "type": st.sampled_from([*KINDS, "Buy"])},
    optional={
        "items": st.lists(
            st.fixed_dictionaries(
                {"order_id": ORDER_ID_FORMS},
                optional={
                    "lines": LINES | JSON,
                    "reason": st.text(max_size=10) | JSON,
                    "short": LINES | JSON,
                    "returned": st.booleans() | JSON,
                },
            )
            | JSON,
            max_size=3,
        )
    },
)


@settings(max_examples=500, deadline=None)
@given(st.binary(max_size=200) | NEAR.map(lambda value: json.dumps(value).encode()))
def test_any_bytes_are_items_that_can_be_sent_on_or_poison(data: bytes) -> None:
    """Never another error; and what is taken is within what the log and the read models can keep."""
    items = []
    with suppress(Poison):
        items = decode(data)
    assert all(type(item) in KINDS.values() and 0 < int(item.order_id) < 2**63 for item in items)
    for _, chunk, sent in encode(items):
        assert decode(sent) == chunk


@pytest.mark.parametrize(
    ("reads", "own", "foreign"),
    [
        (decode_commands, [SELL, Rollback("7")], [SoldReply("7"), RolledBackReply("7", returned=True)]),
        (decode_replies, [SoldReply("7")], [SELL, Rollback("7")]),
    ],
)
def test_each_role_reads_what_it_is_meant_to_be_told_and_nothing_else(
    reads: Any, own: list[Any], foreign: list[Any]
) -> None:
    assert [item for _, _, payload in encode(own) for item in reads(payload)] == own
    for _, _, payload in encode(foreign):
        with pytest.raises(Poison, match="has no business here"):
            reads(payload)
