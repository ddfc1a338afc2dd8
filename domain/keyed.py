"""Commands with an Idempotency-Key: the inner command's rule, with the key's stream beside it.

A repeat writes nothing. `ABOUT` says what is kept with the key, so that the first answer can be made
again after the state has moved on.
"""

from collections.abc import Callable, Mapping
from typing import Any

from domain import goods, key, saga, stock, streams
from domain.service import Category, Rule, States, Written, recorded_in

CATEGORY = Category(key.UNUSED, key.evolve, is_brief=True)


def _versions(items: tuple[stock.SetInv, ...], states: States) -> str:
    return ",".join(str(states[streams.stock(item.goods_id)].version + 1) for item in items)


def _adjusted(command: stock.AdjustStock, states: States) -> str:
    before = states[streams.stock(command.goods_id)]
    return f"{before.on_hand + command.delta},{before.version + 1}"


ABOUT: Mapping[type[Any], Callable[[Any, States], str]] = {
    goods.CreateGoods: lambda command, _: str(command.goods_id),
    stock.SetInv: lambda command, states: _versions((command,), states),
    stock.SetInvMany: lambda command, states: _versions(command.items, states),
    stock.AdjustStock: _adjusted,
    saga.StartOrder: lambda command, _: str(command.order_id),
}
"""What each kind of answer is made from again: an id, versions after setting, or level and version."""


def with_keys(rules: Mapping[type[Any], Rule]) -> Mapping[type[Any], Rule]:
    """The same rules, and one for `Keyed` that looks up the rule of the command inside."""

    def reads(command: key.Keyed) -> tuple[str, ...]:
        return (command.use.stream, *rules[type(command.command)].reads(command.command))

    def decide(command: key.Keyed, states: States) -> Written:
        if key.is_repeat(states[command.use.stream], command.use):
            return ()
        inner = command.command
        written = rules[type(inner)].decide(inner, states)
        about = ABOUT[type(inner)](inner, states)
        return (*written, (command.use.stream, key.KeyUsed(command.use.fingerprint, about)))

    def begins(command: key.Keyed) -> tuple[str, ...]:
        return (command.use.stream, *rules[type(command.command)].begins(command.command))

    return {**rules, key.Keyed: Rule(reads, decide, begins=begins)}


def _decide_undecided(command: key.NoteUndecided, states: States) -> Written:
    return recorded_in(command.stream, key.decide_undecided(states[command.stream]))


UNDECIDED_RULE = Rule(lambda command: (command.stream,), _decide_undecided)
"""For a log whose answers can be a 202."""
