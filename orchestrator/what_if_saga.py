"""The saga's own moves in a simulated world: what it owes inventory, what it hears back, its deadlines."""

from dataclasses import dataclass
from datetime import datetime, timedelta
from heapq import heappop, heappush
from typing import Any, Final

from domain.saga import ConfirmReturn, ConfirmSell, DenySell, GiveUpSelling, LapsePayment, SellConfirmed, Step
from domain.saga_owed import owed
from domain.sale import Rollback, SaleStatus, Sell
from domain.services import INVENTORY, ORDER
from orchestrator.messages import SellRefusedReply, SoldReply
from orchestrator.what_if_rule import Rule
from orchestrator.what_if_world import Told, World

USUAL_WINDOW: Final = timedelta(seconds=1800)
"""How long an order can be paid, until the log has shown one."""

STOCK_SHORT: Final = "stock-short"

SellReply = SoldReply | SellRefusedReply


@dataclass(frozen=True, slots=True)
class Changes:
    """What is different, for orders that are started at `since` or later. None: as it was."""

    payment_window: timedelta | None = None
    sell_deadline: timedelta | None = None
    rule: Rule | None = None
    since: datetime | None = None

    def count_at(self, at: datetime | None) -> bool:
        return self.since is None or (at is not None and at >= self.since)


class SagaMoves:
    """`window`: how long the order that was placed last could be paid, as recorded."""

    def __init__(self, world: World, changes: Changes) -> None:
        self.window = USUAL_WINDOW
        self._world = world
        self._changes = changes
        # What inventory first said to a Sell, until it is heard.
        self._answers: dict[str, SellReply] = {}
        self._alarms: list[tuple[datetime, str]] = []

    def tell(self, command: Any) -> Told:
        return self._world.tell(INVENTORY if isinstance(command, Sell | Rollback) else ORDER, command)

    def sell(self, command: Sell) -> Told:
        told = self.tell(command)
        self._answers.setdefault(command.order_id, self._reply(command.order_id, told))
        return told

    def first_reply(self, order_id: str) -> SellReply | None:
        """What inventory said first, or says now when it is asked again; None when it has decided nothing."""
        return self._answers.pop(order_id, None) or self.reply_now(order_id)

    def reply_now(self, order_id: str) -> SellReply | None:
        """What inventory says when asked once more; None when it has decided nothing, or is not asked."""
        command = owed(self._world.saga(order_id))
        if not isinstance(command, Sell):
            return None
        told = self._world.ask(INVENTORY, command)
        return None if told.written else self._reply(order_id, told)

    def hear(self, reply: SellReply, at: datetime, pay_before: datetime | None = None) -> Told:
        """The saga hears it. `pay_before`: as recorded, None when the order was not placed then."""
        if isinstance(reply, SellRefusedReply):
            return self.tell(DenySell(reply.order_id, reply.reason, reply.short))
        window, started_at = self._changes.payment_window, self._world.saga(reply.order_id).started_at
        if window is not None and self._changes.count_at(started_at):
            until = at + window
        else:
            until = pay_before or at + self.window
        told = self.tell(ConfirmSell(reply.order_id, at, until))
        if until != pay_before and SellConfirmed in told.kinds("saga"):
            self.set_alarm(until, reply.order_id)
        return told

    def hear_return(self, order_id: str) -> Told:
        """The saga hears that its stock is back, or that there was none; nothing when neither is so."""
        self._answers.pop(order_id, None)
        status = self._world.sale(order_id).status
        if status not in (SaleStatus.RETURNED, SaleStatus.BARRED):
            return Told()
        return self.tell(ConfirmReturn(order_id, status is SaleStatus.RETURNED))

    def settle(self, order_id: str, at: datetime) -> None:
        """Whatever the saga owes is done at once; each time round leads it to another step."""
        while (command := owed(self._world.saga(order_id))) is not None:
            if isinstance(command, Sell):
                self.hear(self._reply(order_id, self.tell(command)), at)
            else:
                self.tell(command)
                self.hear_return(order_id)
        self._answers.pop(order_id, None)
        saga = self._world.saga(order_id)
        if saga.step is Step.AWAITING_PAYMENT and saga.pay_before is not None:
            self.set_alarm(max(saga.pay_before, at), order_id)

    # deadlines that were not recorded

    def set_alarm(self, at: datetime, order_id: str) -> None:
        heappush(self._alarms, (at, order_id))

    def next_alarm(self, until: datetime) -> tuple[datetime, str] | None:
        """The earliest of those that are due by then."""
        return heappop(self._alarms) if self._alarms and self._alarms[0][0] <= until else None

    def ring(self, at: datetime, order_id: str) -> bool:
        """What the watchdog does at a deadline; whether there was anything to do."""
        is_selling = self._world.saga(order_id).step is Step.SELLING
        command = GiveUpSelling(order_id, at) if is_selling else LapsePayment(order_id, at)
        return bool(self.tell(command).written)

    def _reply(self, order_id: str, told: Told) -> SellReply:
        """As orchestrator.inventory_worker answers."""
        if told.refusal:
            return SellRefusedReply(order_id, told.refusal, ())
        sale = self._world.sale(order_id)
        if sale.status is SaleStatus.SOLD:
            return SoldReply(order_id)
        return SellRefusedReply(order_id, STOCK_SHORT, sale.short)
