"""Idempotency key: used once; the same request again is a repeat, another one is refused."""

import pytest

from domain.goods import UNKNOWN, CreateGoods, GoodsCreated
from domain.key import (
    UNUSED,
    AnsweredUndecided,
    Key,
    Keyed,
    KeyUse,
    KeyUsed,
    NoteUndecided,
    evolve,
    is_repeat,
)
from domain.keyed import ABOUT
from domain.refusals import KeyReused, NoSuchGoods
from domain.saga import StartOrder
from domain.service import States, Written
from domain.services import GOODS, INVENTORY, ORDER
from domain.stock import NONE, AdjustStock, SetInv, SetInvMany, Stock, StockAdjusted, StockSet

USE = KeyUse("key-abc", "print-1")
OTHER = KeyUse("key-abc", "print-2")


def test_an_unused_key_is_no_repeat() -> None:
    assert not is_repeat(UNUSED, USE)


def test_the_same_request_is_a_repeat() -> None:
    assert is_repeat(Key("print-1", "7"), USE)


def test_another_request_with_the_key_is_refused() -> None:
    with pytest.raises(KeyReused):
        is_repeat(Key("print-1", "7"), OTHER)


def test_the_use_is_remembered_with_what_it_was_about() -> None:
    assert evolve(UNUSED, KeyUsed("print-1", "7")) == Key("print-1", "7")


def test_an_undecided_answer_is_noted_once_and_only_for_a_key_that_was_used() -> None:
    rule = ORDER.rules[NoteUndecided]
    command = NoteUndecided("key-abc")

    assert rule.reads(command) == ("key-abc",)
    assert rule.decide(command, {"key-abc": Key("print-1", "7")}) == (("key-abc", AnsweredUndecided()),)
    assert evolve(Key("print-1", "7"), AnsweredUndecided()) == Key("print-1", "7", undecided=True)
    assert rule.decide(command, {"key-abc": Key("print-1", "7", undecided=True)}) == ()
    assert rule.decide(command, {"key-abc": UNUSED}) == ()


def decided(command: Keyed, states: States) -> Written:
    return INVENTORY.rules[Keyed].decide(command, states)


def test_a_keyed_command_writes_its_effect_and_the_use_in_one_commit() -> None:
    keyed = Keyed(CreateGoods(12, "mug", 250), USE)
    rule = GOODS.rules[Keyed]

    assert rule.reads(keyed) == ("key-abc", "goods-12")
    assert rule.decide(keyed, {"key-abc": UNUSED, "goods-12": UNKNOWN}) == (
        ("goods-12", GoodsCreated(12, "mug", 250)),
        ("key-abc", KeyUsed("print-1", "12")),
    )


def test_a_repeat_writes_nothing_whatever_the_state_is_by_now() -> None:
    keyed = Keyed(SetInv(12, 5, goods_exist=True), USE)

    assert decided(keyed, {"key-abc": Key("print-1", "1"), "stock-12": Stock(99, 8)}) == ()


def test_a_used_key_with_another_request_is_refused_before_anything_is_decided() -> None:
    with pytest.raises(KeyReused):
        decided(Keyed(SetInv(12, 5, goods_exist=False), OTHER), {"key-abc": Key("print-1", "1")})


def test_a_refused_command_does_not_use_its_key() -> None:
    with pytest.raises(NoSuchGoods):
        decided(Keyed(SetInv(12, 5, goods_exist=False), USE), {"key-abc": UNUSED, "stock-12": NONE})


def test_the_versions_after_setting_are_kept_with_the_key() -> None:
    many = SetInvMany((SetInv(12, 5, goods_exist=True), SetInv(13, 6, goods_exist=True)))
    states = {"key-abc": UNUSED, "stock-12": Stock(1, 4), "stock-13": NONE}

    assert decided(Keyed(many, USE), states) == (
        ("stock-12", StockSet(5, 1)),
        ("stock-13", StockSet(6, 0)),
        ("key-abc", KeyUsed("print-1", "5,1")),
    )


def test_level_and_version_after_an_adjustment_are_kept_with_the_key() -> None:
    command = Keyed(AdjustStock(12, -3, "broken", goods_exist=True), USE)

    assert decided(command, {"key-abc": UNUSED, "stock-12": Stock(10, 4)}) == (
        ("stock-12", StockAdjusted(-3, "broken", 7)),
        ("key-abc", KeyUsed("print-1", "7,5")),
    )


def test_every_command_that_may_have_a_key_has_a_rule() -> None:
    rules = {**GOODS.rules, **INVENTORY.rules, **ORDER.rules}

    assert set(ABOUT) <= set(rules)
    assert StartOrder in ABOUT
