"""What if: the recorded commands of the shop, run again in a world where something is different.

Whatever came from outside (carts, stock, order starts, payments, cancels, acts of operators, erasures) comes
again as it was recorded, at the same time. The saga's own moves are made anew. As long as an order goes as
it did, they are made when they were: inventory answers, and the saga hears it, no sooner and no later. From
where an order goes another way, whatever it owes is done at once, and its payment lapses on the second.

So a world in which nothing is different records exactly what the log has; the tests hold it to that.
"""

from collections.abc import Callable, Iterable
from dataclasses import dataclass, replace
from typing import Any

from domain import streams
from domain.cart import CartLine, ReplaceCart
from domain.key import Keyed
from domain.recorded import Recorded
from domain.saga import (
    Begun,
    ConfirmReturn,
    ConfirmSell,
    DenySell,
    GiveUpSelling,
    LapsePayment,
    NoteResend,
    Resent,
    SellConfirmed,
    StartOrder,
    Step,
)
from domain.saga_acts import RetryOrdered
from domain.sale import Line, Rollback, Sell
from domain.service import Written
from domain.services import INVENTORY, ORDER
from domain.stock import Level
from orchestrator.commands_recorded import NOWHERE, Group, command_of
from orchestrator.what_if_merge import SAGA_CALLER, Slot, merged
from orchestrator.what_if_outcomes import OrderSoFar, Outcomes
from orchestrator.what_if_rule import Customers, reason_of
from orchestrator.what_if_saga import STOCK_SHORT, Changes, SagaMoves
from orchestrator.what_if_world import Hear, Told, World


@dataclass(frozen=True, slots=True)
class Worlds:
    """What was recorded, and what would have been. `commands`: how many were run again."""

    recorded: Outcomes
    simulated: Outcomes
    commands: int


def simulate(
    orders: Iterable[Recorded],
    inventory: Iterable[Recorded],
    changes: Changes,
    hear: Hear = lambda *_: None,
) -> Worlds:
    """Both logs from their beginning. `hear`: every simulated event. Raises NoWayBack, RuleFailed."""
    simulation = _Simulation(changes, hear)
    for slot in merged(orders, inventory):
        simulation.go_on(slot)
    return Worlds(simulation.recorded, simulation.simulated, simulation.commands)


class _Simulation:
    def __init__(self, changes: Changes, hear: Hear) -> None:
        self.recorded, self.simulated = Outcomes(), Outcomes()
        self.commands = 0
        self._changes = changes
        self._customers = Customers()
        counted = () if changes.rule is None else (self._customers.see,)
        self._world = World(self.simulated.see, hear, *counted)
        self._saga = SagaMoves(self._world, changes)
        # Orders that go another way than recorded.
        self._other: set[str] = set()
        self._moves: dict[type[Any], Callable[[Slot, Any], Told | None]] = {
            StartOrder: self._start,
            Sell: self._serve,
            Rollback: self._serve,
            ConfirmSell: self._hear_sell,
            DenySell: self._hear_sell,
            ConfirmReturn: lambda _, command: self._saga.hear_return(command.order_id),
            GiveUpSelling: self._wake,
            LapsePayment: self._wake,
            NoteResend: self._wake,
        }

    def go_on(self, slot: Slot) -> None:
        """The next recorded command, and before it whatever is due by then."""
        self.commands += 1
        while alarm := self._saga.next_alarm(slot.at):
            self._ring(*alarm)
        for recorded in slot.events:
            self.recorded.see(recorded.originator_id, recorded.event)
        command = command_of(Group(slot.events, self._not_needed))
        command = command.command if isinstance(command, Keyed) else command
        move = self._moves.get(type(command))
        if move is None or self._is_by_hand(slot, command):
            self._from_outside(slot, command)
        elif command.order_id not in self._other:
            self._compare(slot, command.order_id, move(slot, command))

    def _ring(self, at: Any, order_id: str) -> None:
        if self._saga.ring(at, order_id):
            self._other.add(order_id)
            self._saga.settle(order_id, at)

    def _compare(self, slot: Slot, order_id: str, told: Told | None) -> None:
        """From the first move that is another one, an order goes its own way. None: it waits on."""
        if told is None:
            return
        recorded = tuple((one.originator_id, one.event) for one in slot.events)
        if order_id in self._other or _moves(recorded) != _moves(told.written):
            self._other.add(order_id)
            self._saga.settle(order_id, slot.at)

    # from outside

    def _from_outside(self, slot: Slot, command: Any) -> None:
        told = self._world.tell(INVENTORY if slot.log == INVENTORY.log else ORDER, command)
        if slot.log == ORDER.log and hasattr(command, "order_id"):
            self._compare(slot, command.order_id, told)

    def _is_by_hand(self, slot: Slot, command: Any) -> bool:
        """Somebody sells or gives back without an order, or for one whose saga is not in the log."""
        if not isinstance(command, Sell | Rollback):
            return False
        is_unknown = self._world.saga(command.order_id).step is Step.NEW
        by_saga = slot.events[0].cause.caller == SAGA_CALLER
        return not by_saga or (is_unknown and command.order_id not in self._other)

    def _start(self, slot: Slot, command: StartOrder) -> Told:
        started: Begun = slot.events[0].event
        is_changed = self._changes.count_at(command.at)
        why = self._forbidden(started) if is_changed else None
        if why is not None:
            return self._not_started(started, why)
        self._put_cart_right(started)
        deadline = self._changes.sell_deadline if is_changed else None
        sell_before = command.sell_before if deadline is None else command.at + deadline
        here = replace(command, contact=NOWHERE, sell_before=sell_before, levels=self._levels(command))
        told = self._world.tell(ORDER, here)
        if told.refusal:
            return self._not_started(started, told.refusal)
        if sell_before != command.sell_before:
            self._saga.set_alarm(sell_before, command.order_id)
        return told

    def _levels(self, command: StartOrder) -> tuple[Level, ...]:
        """What inventory's books would have shown: as recorded, and what has come to differ since.

        They were read a moment before the order was recorded, so the levels of then may not be in the log.
        """
        before, now = self.recorded.on_hand, self.simulated.on_hand
        return tuple(
            Level(level.goods_id, level.on_hand + now(level.goods_id) - before(level.goods_id))
            for level in command.levels
        )

    def _forbidden(self, started: Begun) -> str | None:
        if self._changes.rule is None:
            return None
        return reason_of(self._changes.rule, self._customers.purchase(started))

    def _not_started(self, started: Begun, why: str) -> Told:
        order = OrderSoFar(started.user_id, started.amount, started.at, why=why)
        self.simulated.not_started(started.order_id, order)
        return Told()

    def _put_cart_right(self, started: Begun) -> None:
        """What an order left in the cart by going another way is not what the next one was meant for."""
        cart = self._world.cart(started.user_id)
        wanted = tuple(CartLine(line.goods_id, line.nums, checked=True) for line in started.lines)
        if cart.is_closed or cart.checked() == wanted:
            return
        named = {line.goods_id for line in wanted}
        rest = tuple(line for line in cart.lines if not line.checked and line.goods_id not in named)
        self._world.tell(ORDER, ReplaceCart(started.user_id, (*wanted, *rest)))

    # the saga's own moves, when they were made

    def _serve(self, _slot: Slot, command: Sell | Rollback) -> Told:
        """Inventory answers what this order owes: that of then, or a Sell that it still waits for."""
        saga = self._world.saga(command.order_id)
        if isinstance(command, Rollback) and saga.step is not Step.SELLING:
            return self._saga.tell(command)
        lines = tuple(Line(line.goods_id, line.nums) for line in saga.lines)
        recorded = command.lines if isinstance(command, Sell) else ()
        return self._saga.sell(Sell(command.order_id, lines or recorded))

    def _hear_sell(self, slot: Slot, command: ConfirmSell | DenySell) -> Told:
        confirmed = slot.events[0].event
        is_first = isinstance(command, ConfirmSell) or command.reason == STOCK_SHORT
        ask = self._saga.first_reply if is_first else self._saga.reply_now
        reply = ask(command.order_id)
        if reply is None:
            return Told()
        at = command.at if isinstance(command, ConfirmSell) else slot.events[0].cause.at
        pay_before = confirmed.pay_before if isinstance(confirmed, SellConfirmed) else None
        if pay_before is not None:
            self._saga.window = pay_before - at
        return self._saga.hear(reply, at, pay_before)

    def _wake(self, _slot: Slot, command: GiveUpSelling | LapsePayment | NoteResend) -> Told | None:
        told = self._saga.tell(command)
        # With a later deadline it waits on: its alarm is set, and inventory may answer before.
        return None if isinstance(command, GiveUpSelling) and not told.written else told

    @staticmethod
    def _not_needed(stream: str) -> Any:
        raise AssertionError(f"no command of these logs is found by the state of {stream}")


def _moves(written: Written) -> list[tuple[str, type[Any]]]:
    """Which way an order, its saga and its sale went: without values, and without what moves nothing."""
    return [
        (streams.category(stream), type(event))
        for stream, event in written
        if streams.category(stream) in {"order", "saga", "sale"}
        and not isinstance(event, Resent | RetryOrdered)
    ]
