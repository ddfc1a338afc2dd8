"""Inventory's side of the wire: commands in, one commit for many, replies out.

Safe to run twice: the sale stream of an order remembers its outcome, and a repeat is answered from it.
"""

from collections.abc import Callable, Mapping, Sequence
from datetime import datetime
from typing import Final, assert_never

from domain import streams
from domain.recorded import Cause
from domain.refusals import AlreadyReturned, NoUnits, SaleDiffers
from domain.sale import Rollback, Sale, SaleStatus, Sell
from orchestrator.ledger import Done, Ledger
from orchestrator.messages import (
    Command,
    Reply,
    RolledBackReply,
    SellRefusedReply,
    SoldReply,
    Wire,
    count_nothing,
)

CALLER: Final = "order-saga"

COMMAND_NAMES: Final[Mapping[type[Command], str]] = {Sell: "sell", Rollback: "rollback"}
"""By which the id of a command begins."""

COMMAND_OUTCOMES: Final[Mapping[str, str]] = {
    "decided": "it was the first of its order: sold, short, given back, or the order barred",
    "repeated": "it was answered from what is recorded",
    "refused": "it came after a Rollback, or says something else than what is recorded",
}
"""Every word that the worker counts, and what it says of one command."""


class InventoryWorker:
    def __init__(
        self,
        ledger: Ledger,
        wire: Wire,
        clock: Callable[[], datetime],
        *,
        count: Callable[[str], None] = count_nothing,
    ) -> None:
        self._count = count
        self._ledger = ledger
        self._wire = wire
        self._clock = clock

    async def handle(self, commands: Sequence[Command]) -> None:
        """Raises Busy when the log could not take a command, Undelivered when a reply did not go out."""
        now = self._clock()
        answers = await self._ledger.submit_all([(command, _cause(command, now)) for command in commands])
        pairs = zip(commands, answers, strict=True)
        outcomes = [self._reply(command, answer) for command, answer in pairs]
        replies = [outcome for outcome in outcomes if not isinstance(outcome, Exception)]
        if replies:
            await self._wire.send_replies(replies)
        for outcome in outcomes:
            if isinstance(outcome, Exception):
                raise outcome

    def _reply(self, command: Command, answer: Done | Exception) -> Reply | Exception:
        """What inventory says to it, or why it could not be decided."""
        if isinstance(command, Sell) and isinstance(answer, (AlreadyReturned, SaleDiffers, NoUnits)):
            self._count("refused")
            return SellRefusedReply(command.order_id, answer.name, ())
        if isinstance(answer, Exception):
            return answer
        self._count("decided" if answer.written else "repeated")
        sale: Sale = answer.states[streams.sale(command.order_id)]
        match command:
            case Rollback(order_id):
                return RolledBackReply(order_id, sale.status is SaleStatus.RETURNED)
            case Sell(order_id) if sale.status is SaleStatus.SOLD:
                return SoldReply(order_id)
            case Sell(order_id):
                return SellRefusedReply(order_id, "stock-short", sale.short)
            case _:
                assert_never(command)


def _cause(command: Command, now: datetime) -> Cause:
    order_id = command.order_id
    return Cause(f"{COMMAND_NAMES[type(command)]}-{order_id}", CALLER, order_id, now)
