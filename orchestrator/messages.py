"""What travels between services. Every one of them can be derived again from a log."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from domain.refusals import Short
from domain.sale import Rollback, Sell


@dataclass(frozen=True, slots=True)
class SoldReply:
    """Inventory sold every line of the order."""

    order_id: str


@dataclass(frozen=True, slots=True)
class SellRefusedReply:
    """Inventory sold nothing. `reason`: the name of the refusal."""

    order_id: str
    reason: str
    short: tuple[Short, ...]


@dataclass(frozen=True, slots=True)
class RolledBackReply:
    """What the order took is back; `returned` is False when it had taken nothing."""

    order_id: str
    returned: bool


Command = Sell | Rollback
Reply = SoldReply | SellRefusedReply | RolledBackReply


class Undelivered(Exception):
    """The wire did not take a message. Nothing is lost: whoever owes it sends it again."""


class Wire(Protocol):
    """It may lose, repeat, reorder or delay anything; handlers must not care."""

    async def send_commands(self, commands: Sequence[Command]) -> None:
        """To inventory. Raises Undelivered."""
        ...

    async def send_replies(self, replies: Sequence[Reply]) -> None:
        """To the orchestrators. Raises Undelivered."""
        ...

    async def announce(self, order_ids: Sequence[str]) -> None:
        """Tells whoever waits in another process that these orders are decided; at most once."""
        ...


def count_nothing(_outcome: str) -> None:
    """For handlers whose numbers nobody wants."""
