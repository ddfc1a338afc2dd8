"""A world in memory: the order and the inventory service, deciding by their own rules, without a log.

Memory: a state for each cart, goods, order and sale. Of what has ended only that is kept which a later
command can still be refused or answered by; where a parcel goes is not kept at all.
"""

from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from domain import streams
from domain.cart import Cart
from domain.order import Order, OrderStatus
from domain.refusals import Refusal
from domain.saga import TERMINAL, Saga
from domain.sale import Sale, SaleStatus
from domain.service import Service, Written
from domain.services import INVENTORY, ORDER
from orchestrator.commands_recorded import read_by

Hear = Callable[[str, Any], None]
"""Hears every event, with its stream."""


@dataclass(frozen=True, slots=True)
class Told:
    """What a command wrote, or the name of the refusal."""

    written: Written = ()
    refusal: str = ""

    def kinds(self, *categories: str) -> tuple[type[Any], ...]:
        """Of the events in such streams."""
        return tuple(type(event) for name, event in self.written if streams.category(name) in categories)


class World:
    def __init__(self, *hear: Hear) -> None:
        self._hear = hear
        self._states: dict[str, Any] = {}

    def tell(self, service: Service, command: Any) -> Told:
        """Decides a command and takes what it writes into the world."""
        told = self.ask(service, command)
        for stream, event in told.written:
            state = service.evolve(stream, self._state(service, stream), event)
            self._states[stream] = _what_matters(state)
            for hear in self._hear:
                hear(stream, event)
        return told

    def ask(self, service: Service, command: Any) -> Told:
        """Decides a command, and changes nothing."""
        rule = service.rules[type(command)]
        states = read_by(rule, command, lambda stream: self._state(service, stream))
        try:
            return Told(rule.decide(command, states))
        except Refusal as refusal:
            return Told(refusal=refusal.name)

    def saga(self, order_id: str) -> Saga:
        saga: Saga = self._state(ORDER, streams.saga(order_id))
        return saga

    def cart(self, user_id: int) -> Cart:
        cart: Cart = self._state(ORDER, streams.cart(user_id))
        return cart

    def sale(self, order_id: str) -> Sale:
        sale: Sale = self._state(INVENTORY, streams.sale(order_id))
        return sale

    def _state(self, service: Service, stream: str) -> Any:
        known = self._states.get(stream)
        return service.initial(stream) if known is None else known


def _what_matters(state: Any) -> Any:
    """A state with what no decision looks at any more left out; it is decided on as before."""
    if isinstance(state, Saga) and state.step in TERMINAL:
        return state._replace(lines=(), contact=None, short=())
    if isinstance(state, Sale) and state.status is SaleStatus.RETURNED:
        return state._replace(lines=())
    if isinstance(state, Order) and state.status in (OrderStatus.PAID, OrderStatus.CLOSED):
        return state._replace(placed=state.placed and replace(state.placed, lines=()))
    return state
