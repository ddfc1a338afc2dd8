"""Valid logs for tests: what the services' own decisions write, without a database, a wire or a clock."""

from collections import defaultdict
from collections.abc import Callable, Iterable
from datetime import UTC, datetime, timedelta
from typing import Any

from domain import streams
from domain.cart import CartLine, CloseCart, ReplaceCart
from domain.goods import CreateGoods, Goods, Offer
from domain.order import Contact, Payment, PayOrder
from domain.recorded import Cause, Recorded
from domain.saga import (
    CancelOrder,
    ConfirmReturn,
    ConfirmSell,
    DenySell,
    GiveUpSelling,
    LapsePayment,
    StartOrder,
)
from domain.saga_acts import CompensateSaga, RetrySaga
from domain.sale import Line, Rollback, Sale, SaleStatus, Sell
from domain.service import Service, Written
from domain.services import GOODS, INVENTORY, ORDER, USER
from domain.stock import Level, SetInv, Stock

START = datetime(2026, 11, 23, 14, 0, tzinfo=UTC)
CONTACT = Contact("1 High Street", "Ann", "07700 900000", "N1")
PAYMENT_WINDOW = timedelta(seconds=1800)
SELL_DEADLINE = timedelta(seconds=30)


class ShopHistory:
    """Each command is decided and recorded at `now`, which then moves on by one second."""

    def __init__(self) -> None:
        self.now = START
        self.logs: dict[str, list[Recorded]] = {"user": [], "goods": [], "inventory": [], "order": []}
        self.states: dict[str, Any] = {}
        self._versions: defaultdict[str, int] = defaultdict(int)
        self.after_command: Callable[[], None] = lambda: None
        self._commands = 0

    def tell(self, service: Service, command: Any, caller: str = "user-1") -> Written:
        """Decides and records one command. Raises Refusal."""
        rule = service.rules[type(command)]
        states = {name: self.state(service, name) for name in rule.reads(command)}
        states |= {name: self.state(service, name) for name in rule.reads_then(command, states)}
        written = rule.decide(command, states)
        self._commands += 1
        cause = Cause(f"cmd-{self._commands}", caller, getattr(command, "order_id", ""), self.now)
        for stream, event in written:
            self.plant(service, stream, event, cause)
        self.now += timedelta(seconds=1)
        self.after_command()
        return written

    def state(self, service: Service, stream: str) -> Any:
        return self.states.get(stream, service.initial(stream))

    def plant(self, service: Service, stream: str, event: Any, cause: Cause | None = None) -> int:
        """Records an event that nobody decided, with a valid version; returns its position."""
        log = self.logs[service.log]
        self._versions[stream] += 1
        cause = cause or Cause("planted", "somebody", "", self.now)
        log.append(Recorded(stream, self._versions[stream], event, cause, len(log) + 1))
        self.states[stream] = service.evolve(stream, self.state(service, stream), event)
        return len(log)

    # the steps of an order

    def stocked(self, goods_id: int, units: int, price: int = 250) -> None:
        if streams.goods(goods_id) not in self.states:
            self.tell(GOODS, CreateGoods(goods_id, f"goods {goods_id}", price))
        self.tell(INVENTORY, SetInv(goods_id, units, goods_exist=True))

    def started(
        self, order_id: str, lines: Iterable[tuple[int, int]], user_id: int = 7, *, looked: bool = False
    ) -> None:
        """A cart filled and an order started from it. `lines`: goods id and units.

        `looked`: whether inventory's books were read first; then what is short is refused at once.
        """
        caller = streams.user(user_id)
        cart = tuple(CartLine(goods_id, nums, checked=True) for goods_id, nums in lines)
        self.tell(ORDER, ReplaceCart(user_id, cart), caller)
        offers = tuple(self._offer(line.goods_id) for line in cart)
        levels = tuple(self._level(line.goods_id) for line in cart) if looked else ()
        command = StartOrder(order_id, user_id, offers, CONTACT, self.now, self.now + SELL_DEADLINE, levels)
        self.tell(ORDER, command, caller)

    def sold(self, order_id: str) -> None:
        """Inventory answers the owed Sell, and the saga hears it."""
        saga = self.state(ORDER, streams.saga(order_id))
        lines = tuple(Line(line.goods_id, line.nums) for line in saga.lines)
        self.tell(INVENTORY, Sell(order_id, lines), "order-saga")
        self.heard(order_id)

    def heard(self, order_id: str) -> None:
        """The saga hears how the sale of its order stands."""
        sale: Sale = self.state(INVENTORY, streams.sale(order_id))
        if sale.status is SaleStatus.SOLD:
            self.tell(ORDER, ConfirmSell(order_id, self.now, self.now + PAYMENT_WINDOW), "inventory")
        elif sale.status is SaleStatus.REFUSED:
            self.tell(ORDER, DenySell(order_id, "stock-short", sale.short), "inventory")

    def placed(self, order_id: str, lines: Iterable[tuple[int, int]], user_id: int = 7) -> None:
        self.started(order_id, lines, user_id)
        self.sold(order_id)

    def paid(self, order_id: str) -> None:
        amount = self.state(ORDER, streams.saga(order_id)).amount
        payment = Payment("alipay", f"T-{order_id}", amount, self.now)
        self.tell(ORDER, PayOrder(order_id, payment), "user-3")

    def cancelled(self, order_id: str, user_id: int = 7) -> None:
        self.tell(ORDER, CancelOrder(order_id), streams.user(user_id))

    def retried(self, order_id: str, reason: str = "it waits too long") -> None:
        self.tell(ORDER, RetrySaga(order_id, self.now, reason), "operator-ann")

    def compensated(self, order_id: str, reason: str = "it waits too long") -> None:
        self.tell(ORDER, CompensateSaga(order_id, self.now, reason), "operator-ann")

    def account_closed(self, user_id: int = 7) -> None:
        self.tell(ORDER, CloseCart(user_id), streams.user(user_id))

    def lapsed(self, order_id: str) -> None:
        self.tell(ORDER, LapsePayment(order_id, self.now), "watchdog")

    def given_up(self, order_id: str) -> None:
        self.tell(ORDER, GiveUpSelling(order_id, self.now), "watchdog")

    def rolled_back(self, order_id: str) -> None:
        """Inventory answers the owed Rollback, and the saga hears it."""
        self.tell(INVENTORY, Rollback(order_id), "order-saga")
        returned = self.state(INVENTORY, streams.sale(order_id)).status is SaleStatus.RETURNED
        self.tell(ORDER, ConfirmReturn(order_id, returned), "inventory")

    def _level(self, goods_id: int) -> Level:
        stock: Stock = self.state(INVENTORY, streams.stock(goods_id))
        return Level(goods_id, stock.on_hand)

    def _offer(self, goods_id: int) -> Offer:
        goods: Goods = self.state(GOODS, streams.goods(goods_id))
        return Offer(goods_id, goods.name, goods.price, goods.for_sale)


SERVICE_OF = {service.log: service for service in (USER, GOODS, INVENTORY, ORDER)}
