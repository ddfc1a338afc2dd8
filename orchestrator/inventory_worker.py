"""Inventory's side of the wire: commands in, one commit for many, replies out.

Safe to run twice: the sale stream of an order remembers its outcome, and a repeat is answered from it.
"""

import asyncio
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
        outcomes = await asyncio.gather(*map(self._answer, commands), return_exceptions=True)
        replies = [outcome for outcome in outcomes if not isinstance(outcome, BaseException)]
        if replies:
            await self._wire.send_replies(replies)
        for outcome in outcomes:
            if isinstance(outcome, BaseException):
                raise outcome

    async def _answer(self, command: Command) -> Reply:
        match command:
            case Sell():
                return await self._sell(command)
            case Rollback():
                return await self._rollback(command)
            case _:
                assert_never(command)

    async def _sell(self, command: Sell) -> Reply:
        try:
            done = await self._submit(command, "sell")
        except (AlreadyReturned, SaleDiffers, NoUnits) as refusal:
            self._count("refused")
            return SellRefusedReply(command.order_id, refusal.name, ())
        sale: Sale = done.states[streams.sale(command.order_id)]
        if sale.status is SaleStatus.SOLD:
            return SoldReply(command.order_id)
        return SellRefusedReply(command.order_id, "stock-short", sale.short)

    async def _rollback(self, command: Rollback) -> Reply:
        done = await self._submit(command, "rollback")
        sale: Sale = done.states[streams.sale(command.order_id)]
        return RolledBackReply(command.order_id, sale.status is SaleStatus.RETURNED)

    async def _submit(self, command: Command, what: str) -> Done:
        order_id = command.order_id
        cause = Cause(f"{what}-{order_id}", CALLER, order_id, self._clock())
        done = await self._ledger.submit(command, cause)
        self._count("decided" if done.written else "repeated")
        return done
