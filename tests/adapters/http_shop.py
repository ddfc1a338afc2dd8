"""A whole shop in memory for the HTTP tests: real ledgers over the library's in-memory recorder, real
checkout, desk and tokens, served by real uvicorn. Only the read models are folded here instead of in SQL.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Collection, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from typing import Any

from eventsourcing.popo import POPOApplicationRecorder

from adapters.argon2_passwords import Passwords
from adapters.erasure import Eraser, EraserParts
from adapters.event_codec import decode
from adapters.http_app import HttpParts
from adapters.ids import OrderIds, new_command_id
from adapters.ledger_codec import CODEC
from adapters.open_orders import OpenOrders
from adapters.paseto_key import generate
from adapters.paseto_tokens import Tokens
from adapters.personal_data import PersonalData
from adapters.saga_rows import SagaFilter, saga_row
from adapters.sealing import Wrapping
from adapters.user_attempts import MemoryAttempts
from adapters.user_desk import DeskTerms, UserDesk
from adapters.user_passwords import PasswordCheck
from adapters.user_sessions import SessionParts, Sessions
from domain import services, streams
from domain.cart import Cart
from domain.goods import Goods
from domain.order import Order, OrderStatus
from domain.recorded import Cause, Recorded
from domain.refusals import AlreadyReturned
from domain.saga import ConfirmReturn, ConfirmSell, DenySell, Saga
from domain.saga_owed import owed, owed_after
from domain.saga_timing import STUCK_AFTER_TRIES
from domain.sale import Sale, SaleStatus, Sell
from domain.service import Service
from domain.session import OpenSession
from domain.stock import Stock
from domain.user import RegisterUser, Role
from orchestrator.checkout import Checkout, CheckoutTerms
from orchestrator.ledger import Ledger
from orchestrator.log import RecorderLog
from orchestrator.outcomes import Outcomes
from tests.adapters.memory_keys import MemoryKeys

Item = dict[str, Any]
Page = tuple[list[Item], str | None]
PAYMENT_WINDOW_S = 1800
MAX_OPEN_ORDERS = 8


class Reads:
    """Read models folded in memory. `hold` keeps them where they are, as a slow projector would."""

    def __init__(self) -> None:
        self.states: dict[str, Any] = {}
        self.reached: dict[str, int] = {}
        self.held: list[tuple[Service, Sequence[Recorded]]] | None = None
        self.waits = 0

    def follow(self, ledger: Ledger) -> None:
        ledger.listeners.append(lambda events: self._hear(ledger.service, events))

    def hold(self) -> None:
        self.held = []

    def release(self) -> None:
        held, self.held = self.held or [], None
        for service, events in held:
            self._fold(service, events)

    def _hear(self, service: Service, events: Sequence[Recorded]) -> None:
        if self.held is not None:
            self.held.append((service, events))
        else:
            self._fold(service, events)

    def _fold(self, service: Service, events: Sequence[Recorded]) -> None:
        for recorded in events:
            name = recorded.originator_id
            before = self.states.get(name, service.initial(name))
            self.states[name] = service.evolve(name, before, recorded.event)
            self.reached[service.log] = recorded.position

    def _all(self, category: str) -> Iterable[Any]:
        return [state for name, state in self.states.items() if streams.category(name) == category]

    async def goods(self, goods_id: int) -> Item | None:
        return (await self.goods_by_ids([goods_id])).get(goods_id)

    async def goods_by_ids(self, ids: Sequence[int]) -> dict[int, Item]:
        known = [self.states.get(streams.goods(goods_id)) for goods_id in ids]
        return {goods.goods_id: _goods(goods) for goods in known if goods and goods.for_sale}

    async def goods_page(self, q: str | None, limit: int, cursor: str | None) -> Page:
        items = [_goods(g) for g in self._all("goods") if g.for_sale and g.name.startswith(q or "")]
        return items[:limit], None

    async def stock(self, goods_id: int) -> Item | None:
        stock: Stock | None = self.states.get(streams.stock(goods_id))
        if stock is None:
            return None
        return {"goods_id": goods_id, "stock": stock.on_hand, "version": stock.version}

    async def sale(self, order_id: str) -> Item | None:
        sale: Sale | None = self.states.get(streams.sale(order_id))
        if sale is None:
            return None
        return {"order_id": order_id, "status": int(sale.status), "lines": sale.lines}

    async def cart(self, user_id: int) -> list[Item]:
        cart: Cart = self.states.get(streams.cart(user_id), Cart())
        known = [(line, self.states.get(streams.goods(line.goods_id), Goods())) for line in cart.lines]
        return [
            {
                "goods_id": line.goods_id,
                "name": goods.name or None,
                "price": goods.price if goods.name else None,
                "nums": line.nums,
                "checked": line.checked,
                "for_sale": goods.for_sale,
            }
            for line, goods in known
        ]

    async def order(self, order_id: str) -> Item | None:
        order: Order | None = self.states.get(streams.order(order_id))
        return None if order is None else _order(order)

    async def orders_page(
        self, user_id: int | None, status: int | None, limit: int, cursor: str | None
    ) -> Page:
        items = [_order(order) for order in self._all("order")]
        items = [item for item in items if user_id in (None, item["user_id"])]
        return [item for item in items if status in (None, item["status"])][:limit], None

    async def open_orders(self, user_ids: Collection[int], limit: int) -> dict[int, int]:
        pages = {user_id: await self.orders_page(user_id, 1, 1_000_000, None) for user_id in user_ids}
        return {user_id: min(limit, len(items)) for user_id, (items, _) in pages.items()}

    async def deliverable(self, user_id: int, paid_after: datetime) -> list[str]:
        mine, _ = await self.orders_page(user_id, None, 1_000_000, None)
        paid = [item for item in mine if item["status"] == 2 and item["pay_time"] > paid_after]
        return [item["order_id"] for item in mine if item["status"] == 1 or item in paid]

    async def sagas_page(self, which: SagaFilter, limit: int, cursor: str | None) -> Page:
        sagas: list[Saga] = [saga for saga in self._all("saga") if which.step in (None, saga.step.value)]
        least = STUCK_AFTER_TRIES if which.is_stuck else 0
        return [_saga(saga) for saga in sagas if saga.tries >= least][:limit], None

    async def wait_for(self, positions: Mapping[str, int], timeout_s: float) -> bool:
        self.waits += 1
        ends_at = asyncio.get_running_loop().time() + timeout_s
        while any(self.reached.get(log, 0) < n for log, n in positions.items()):
            if asyncio.get_running_loop().time() > ends_at:
                return False
            await asyncio.sleep(0.01)
        return True

    async def positions(self) -> list[Item]:
        return [{"log": log, "position": position} for log, position in self.reached.items()]


class Shop:
    """The parts, and levers on them: the clock, inventory, the read models."""

    def __init__(self) -> None:
        self.ahead = timedelta()
        self.inventory_answers = True
        self.ready = {"order-log": "ok", "nats": "ok"}
        self.reads = Reads()
        self.recorders: dict[str, POPOApplicationRecorder] = {}
        self.users, self.goods, self.inventory, self.orders = map(self._ledger, services.SERVICES)
        self._tasks: set[asyncio.Task[None]] = set()
        self._ids = iter(range(1, 1_000_000))
        self.signing_key = generate()
        self.tokens = Tokens(self.signing_key, environment="test", clock=self.now)
        self.passwords = Passwords()
        self.keys = MemoryKeys(self._erased)
        self.personal = PersonalData(self.keys, Wrapping((b"w" * 32,)))
        check = PasswordCheck(self.passwords, MemoryAttempts(self.now), b"k" * 32)
        terms = DeskTerms(email_key=b"k" * 32, clock=self.now, new_command_id=new_command_id)
        self.desk = UserDesk(self.users, self.personal, check, terms)
        self.sessions = Sessions(SessionParts(self.users, self.personal, check, self.tokens, terms))
        self.open_orders = OpenOrders(self.reads.open_orders, time.monotonic, MAX_OPEN_ORDERS)
        self.eraser = self._eraser()
        outcomes = Outcomes()
        self.orders.listeners += [outcomes.on_recorded, self._inventory_hears]
        checkout_terms = CheckoutTerms(30, self.now, OrderIds(self.now).new)
        self.checkout = Checkout(self.orders, self.goods, self.inventory, outcomes, checkout_terms)

    def now(self) -> datetime:
        return datetime.now(UTC) + self.ahead

    def parts(self) -> HttpParts:
        return HttpParts(
            users=self.users,
            goods=self.goods,
            inventory=self.inventory,
            orders=self.orders,
            checkout=self.checkout,
            queries=self.reads,
            desk=self.desk,
            sessions=self.sessions,
            personal=self.personal,
            eraser=self.eraser,
            open_orders=self.open_orders,
            tokens=self.tokens,
            new_user_id=self.new_id,
            new_goods_id=self.new_id,
            clock=self.now,
            new_command_id=new_command_id,
            readiness=self._readiness,
            timeline=self._timeline,
            saga=self._saga,
        )

    async def new_id(self) -> int:
        return next(self._ids)

    async def user(self, role: Role) -> str:
        """An access token of a new user, who has no password: hashing would take most of the tests' time."""
        user_id = await self.new_id()
        cause = Cause(new_command_id(), "test", "", self.now())
        email = f"user{user_id}@example.com"
        await self.personal.make_key(user_id)
        await self.users.submit(RegisterUser(user_id, email, email, "Ann", None, role, ""), cause)
        opened = OpenSession(f"s{user_id}", user_id, "", "", self.now() + timedelta(days=30))
        await self.users.submit(opened, cause)
        return self.tokens.mint(user_id=user_id, role=role, session_id=opened.session_id).token

    async def settled(self) -> None:
        """Inventory has answered everything, and what its answers made owed as well."""
        while self._tasks:
            await asyncio.gather(*self._tasks)

    async def answer_owed(self, order_id: str) -> None:
        """Inventory hears what an order's saga owes, as it does when the watchdog sends it again."""
        name = streams.saga(order_id)
        command = owed((await self.orders.read(name))[name])
        assert command is not None, "it owes nothing"
        await self._answer(command)

    async def close(self) -> None:
        await asyncio.gather(*self._tasks)
        for ledger in (self.users, self.goods, self.inventory, self.orders):
            await ledger.close()
        self.passwords.close()

    def _eraser(self) -> Eraser:
        return Eraser(
            EraserParts(
                orders=self.orders,
                personal=self.personal,
                store=self.keys,
                deliveries=self.reads,
                order_head=self._order_head,
                delivery_window_s=0,
                clock=self.now,
                new_command_id=new_command_id,
            )
        )

    async def _order_head(self) -> int:
        return self.recorders["order"].max_notification_id() or 0

    def _erased(self) -> list[int]:
        """In the order of the log."""
        events = self.recorders["user"].select_notifications(None, 1_000_000, topics=["UserErased"])
        return [int(streams.key_of(str(event.originator_id))) for event in events]

    def _ledger(self, service: Service) -> Ledger:
        recorder = self.recorders[service.log] = POPOApplicationRecorder()
        ledger = Ledger(service, RecorderLog(recorder), CODEC)
        self.reads.follow(ledger)
        return ledger

    async def _readiness(self) -> Mapping[str, str]:
        return self.ready

    async def _saga(self, order_id: str) -> Item | None:
        stored = self.recorders["order"].select_events(streams.saga(order_id))
        return saga_row([decode(event) for event in stored])

    async def _timeline(self, order_id: str) -> list[Item] | None:
        return [
            {
                "at": self.now(),
                "since_before_s": 0.0,
                "who": "customer 1",
                "what": "Order started",
                "detail": "",
                "event": "OrderStarted",
                "command_id": "c",
                "log": "order",
                "position": 1,
            }
        ]

    # inventory, as the saga runner and the wire would have it

    def _inventory_hears(self, events: Sequence[Recorded]) -> None:
        for recorded in events:
            if streams.category(recorded.originator_id) == "saga" and self.inventory_answers:
                command = owed_after(streams.key_of(recorded.originator_id), recorded.event)
                if command is not None:
                    task = asyncio.create_task(self._answer(command))
                    self._tasks.add(task)
                    task.add_done_callback(self._tasks.discard)

    async def _answer(self, command: Any) -> None:
        cause = Cause(new_command_id(), "inventory", command.order_id, self.now())
        try:
            done = await self.inventory.submit(command, cause)
        except AlreadyReturned as refusal:
            await self.orders.submit(DenySell(command.order_id, refusal.name, ()), cause)
            return
        sale: Sale = done.states[streams.sale(command.order_id)]
        await self.orders.submit(self._reply(command, sale), cause)

    def _reply(self, command: Any, sale: Sale) -> Any:
        if not isinstance(command, Sell):
            return ConfirmReturn(command.order_id, sale.status is SaleStatus.RETURNED)
        if sale.status is not SaleStatus.SOLD:
            return DenySell(command.order_id, "stock-short", sale.short)
        pay_before = self.now() + timedelta(seconds=PAYMENT_WINDOW_S)
        return ConfirmSell(command.order_id, self.now(), pay_before)


def _goods(goods: Goods) -> Item:
    return {"goods_id": goods.goods_id, "name": goods.name, "price": goods.price}


def _order(order: Order) -> Item:
    placed, payment = order.placed, order.payment
    assert placed is not None
    assert order.status is not OrderStatus.NONE
    contact = placed.contact
    return {
        "order_id": placed.order_id,
        "user_id": placed.user_id,
        "status": int(order.status),
        "close_reason": order.close_reason,
        "amount": placed.amount,
        "pay_type": payment.pay_type if payment else None,
        "trade_id": payment.trade_id if payment else None,
        "pay_time": payment.at if payment else None,
        "pay_before": placed.pay_before,
        "refund_due": sum(refund.amount for refund in order.refunds),
        "address": contact.address,
        "signer_name": contact.signer_name,
        "signer_mobile": contact.signer_mobile,
        "post": contact.post,
        "goods": [
            {"goods_id": n.goods_id, "goods_name": n.name, "goods_price": n.price, "nums": n.nums}
            for n in placed.lines
        ],
        "created_at": placed.at,
    }


def _saga(saga: Saga) -> Item:
    return {
        "order_id": saga.order_id,
        "step": saga.step.value,
        "owes": None,
        "since": saga.started_at,
        "tries": saga.tries,
        "next_try_at": saga.next_try_at,
        "last_error": None,
    }


@asynccontextmanager
async def open_shop() -> AsyncIterator[Shop]:
    shop = Shop()
    try:
        yield shop
    finally:
        await shop.close()
