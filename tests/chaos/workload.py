"""Customers who order, pay, cancel, forget to pay and pay too late, and note down what they are answered."""

import asyncio
import random
from collections.abc import Callable, Coroutine
from dataclasses import dataclass
from typing import Any, Final

import msgspec

from adapters.api_call import Answer, ApiCall, encode
from adapters.retail_file import read_retail, slice_path
from tests.chaos.counter import WAIT, Counter, NoAnswer, Person
from tests.chaos.notes import GIVEN_UP, NOTHING, PLACED, REFUSED, Lines, Notes, OrderNote, Paid
from tests.chaos.shop import STAFF, Shop

ASK_AGAIN_AFTER_S = 0.2
HOT_GOODS: Final = 10
HOT_STOCK: Final = 15
HOT_DELIVERY: Final = 8
"""Units of a hot goods at the start, and in each delivery: far too few, so that some orders are refused."""
PLENTY: Final = 10**6
SIGN_UPS_AT_ONCE: Final = 4
"""Passwords are slow to hash on purpose."""
RESTOCK_EVERY_S: Final = 3.0
BIG_SHARE: Final = 0.01
"""Baskets as they stand in the retail file; the others are their first one to three lines."""
MAX_BIG_LINES: Final = 60
HOT_SHARE: Final = 0.3
UNANSWERED_KEPT: Final = 10

PARCEL: Final = {"address": "1 Chaos Street", "signer_name": "C", "signer_mobile": "13800000000", "post": ""}


@dataclass(frozen=True, slots=True)
class Size:
    """Of the load. `per_s`: orders begun each second, at most."""

    customers: int = 250
    goods: int = 400
    per_s: float = 200.0


class Workload:
    def __init__(self, shop: Shop, size: Size, seed: int, notes: Notes) -> None:
        self.notes = notes
        self.counter = Counter(shop.urls, notes)
        self._shop = shop
        self._size = size
        self._chance = random.Random(f"{seed} workload")
        self._seed = seed
        self._staff = Person(STAFF["email"], STAFF["password"])
        self._customers = [
            Person(f"c{number}@chaos.example", "a long password", door=number)
            for number in range(size.customers)
        ]
        self._baskets: list[Lines] = []
        self._hot: list[int] = []
        self._after: set[asyncio.Task[None]] = set()
        self._opened_at = 0.0
        self._begun = 0
        self._open = True
        self._habits: dict[Habit, int] = {
            self._pay: 60,
            self._pay_twice: 6,
            self._pay_wrongly_first: 2,
            self._cancel: 9,
            self._cancel_and_pay: 6,
            self._forget: 8,
            self._pay_too_late: 4,
            self._pay_at_the_edge: 5,
        }

    # opening

    async def set_up(self) -> None:
        """Goods, stock and customers, before there are faults."""
        await self.counter.sign_in(self._staff)
        plan = await asyncio.to_thread(read_retail, slice_path())
        wanted = range(min(self._size.goods, len(plan.goods)) + HOT_GOODS)
        ids = await asyncio.gather(
            *(self._make_goods(n, plan.goods[n].unit_price_pence or 1) for n in wanted)
        )
        self._hot = ids[-HOT_GOODS:]
        self._baskets = [basket for order in plan.orders if (basket := _known(order.lines, ids[:-HOT_GOODS]))]
        await self._open_stock(ids)
        doors = asyncio.Semaphore(SIGN_UPS_AT_ONCE)

        async def sign_up(customer: Person) -> None:
            async with doors:
                await self.counter.sign_up(customer)

        await asyncio.gather(*map(sign_up, self._customers))

    async def _make_goods(self, number: int, price: int) -> int:
        body = encode({"name": f"Chaos goods {number}", "price": price})
        answer, _ = await self.counter.ask(ApiCall("POST", "/v1/goods", body, f"goods-{number}"), self._staff)
        return int(msgspec.json.decode(answer.body)["goods_id"])

    async def _open_stock(self, ids: list[int]) -> None:
        stock = {goods_id: HOT_STOCK if goods_id in self._hot else PLENTY for goods_id in ids}
        items = [{"goods_id": goods_id, "stock": units} for goods_id, units in stock.items()]
        call = ApiCall("PUT", "/v1/inventory", encode({"items": items}), "opening-stock")
        answer, _ = await self.counter.ask(call, self._staff)
        assert answer.status == 200, answer
        self.notes.stocked = stock

    # selling

    async def run(self) -> None:
        """Until `close`; then until every customer has a definite answer to everything."""
        self._opened_at = _now()
        async with asyncio.TaskGroup() as tasks:
            tasks.create_task(self._restock())
            for number, customer in enumerate(self._customers):
                tasks.create_task(self._shop_for_ever(number, customer))
        await asyncio.gather(*self._after)

    def close(self) -> None:
        """No new orders from now on."""
        self._open = False

    async def _shop_for_ever(self, number: int, customer: Person) -> None:
        chance = random.Random(f"{self._seed} customer {number}")
        while self._open:
            await self._wait_for_turn()
            key = f"{number}-{self._begun}-{chance.getrandbits(32):x}"
            note = self.notes.begin(OrderNote(key, customer.user_id, self._basket(chance)))
            try:
                await self._order(customer, note, chance)
            except NoAnswer as error:
                self.notes.complain(str(error))
            self.notes.decided(note)

    async def _wait_for_turn(self) -> None:
        self._begun += 1
        await asyncio.sleep(self._opened_at + self._begun / self._size.per_s - _now())
        # After an outage nobody makes up for lost time all at once.
        self._opened_at = max(self._opened_at, _now() - self._begun / self._size.per_s - 1.0)

    def _basket(self, chance: random.Random) -> Lines:
        lines = chance.choice(self._baskets)
        lines = lines[:MAX_BIG_LINES] if chance.random() < BIG_SHARE else lines[: chance.randint(1, 3)]
        if chance.random() < HOT_SHARE:
            hot = {goods_id: chance.randint(1, 3) for goods_id in chance.sample(self._hot, 2)}
            lines = (*lines, *hot.items())
        return tuple(sorted(lines))

    async def _order(self, customer: Person, note: OrderNote, chance: random.Random) -> None:
        await self._fill_cart(customer, note.asked)
        call = ApiCall("POST", "/v1/orders", encode(PARCEL), note.key)
        if chance.random() < 0.05:
            await self._order_without_waiting(call, customer, note, chance)
        answer, _ = await self.counter.ask(call, customer, WAIT)
        if answer.status == 202:
            # The key's answer for good; what became of the order is asked where it says.
            answer = await self._outcome(customer, note, _told(answer)["order_id"])
        self._decided(note, answer, customer)
        if note.outcome == PLACED:
            if answer.status == 201 and chance.random() < 0.05:
                await self._ask_again(call, customer, note, answer)
            habit = chance.choices(list(self._habits), list(self._habits.values()))[0]
            self._later(habit(customer, note, chance))

    async def _outcome(self, customer: Person, note: OrderNote, order_id: str) -> Answer:
        note.hear(order_id)
        call = ApiCall("GET", f"/v1/orders/{order_id}")
        answer, _ = await self.counter.ask(call, customer)
        while answer.status in {202, 404}:
            await asyncio.sleep(ASK_AGAIN_AFTER_S)
            answer, _ = await self.counter.ask(call, customer)
        return answer

    async def _fill_cart(self, customer: Person, lines: Lines) -> None:
        items = [{"goods_id": goods_id, "nums": nums, "checked": True} for goods_id, nums in lines]
        call = ApiCall("PUT", "/v1/cart", encode({"items": items}))
        answer, unanswered = await self.counter.ask(call, customer)
        assert answer.status == 200, answer
        if unanswered:
            # Such a request may still be executed later, by a process that was stopped with it.
            customer.unanswered = [*customer.unanswered, lines][-UNANSWERED_KEPT:]

    async def _order_without_waiting(
        self, call: ApiCall, customer: Person, note: OrderNote, chance: random.Random
    ) -> None:
        """Takes the order's number and, half of the time, cancels while the stock is being sold."""
        answer, _ = await self.counter.ask(call, customer, prefer="wait=0")
        if answer.status != 202:
            return
        note.hear(_told(answer)["order_id"])
        if chance.random() < 0.5:
            await self._send_cancel(customer, note)

    def _decided(self, note: OrderNote, answer: Answer, customer: Person) -> None:
        told = _told(answer)
        kind = str(told.get("type", "")).removeprefix("urn:tillroll:")
        if "order_id" in told:
            note.hear(told["order_id"])
        note.reason = kind
        if answer.status in {200, 201}:
            note.outcome, note.amount = PLACED, told["amount"]
            note.lines = tuple(sorted((line["goods_id"], line["nums"]) for line in told["goods"]))
            self._must_be_asked_for(note, customer)
        elif kind == "stock-short":
            note.outcome = REFUSED
        elif kind in {"order-closed", "already-returned"} and note.order_ids:
            note.outcome, note.reason = GIVEN_UP, str(told.get("close_reason") or kind)
        elif kind in {"cart-empty", "cart-changed", "order-under-way"}:
            note.outcome = NOTHING
            if not customer.unanswered:
                self.notes.complain(f"key {note.key} was refused as {kind} though the cart was filled")
        else:
            self.notes.complain(f"key {note.key} was answered {answer.status} {answer.body[:300]!r}")

    def _must_be_asked_for(self, note: OrderNote, customer: Person) -> None:
        if note.lines != note.asked and note.lines not in customer.unanswered:
            self.notes.complain(f"order {note.order_id} has the lines {note.lines}, not {note.asked}")

    async def _ask_again(self, call: ApiCall, customer: Person, note: OrderNote, first: Answer) -> None:
        again, _ = await self.counter.ask(call, customer)
        if (again.status, again.body) != (first.status, first.body):
            self.notes.complain(f"key {note.key} was answered otherwise the second time: {again}")

    def _later(self, task: Coroutine[Any, Any, None]) -> None:
        started = asyncio.create_task(self._noting(task))
        self._after.add(started)
        started.add_done_callback(self._after.discard)

    async def _noting(self, task: Coroutine[Any, Any, None]) -> None:
        try:
            await task
        except NoAnswer as error:
            self.notes.complain(str(error))

    # what becomes of an order

    async def _pay(self, _: Person, note: OrderNote, chance: random.Random) -> None:
        await asyncio.sleep(chance.uniform(0, 2))
        await self._send_payment(note, f"t-{note.key}")

    async def _pay_twice(self, _: Person, note: OrderNote, chance: random.Random) -> None:
        await asyncio.gather(*(self._send_payment(note, f"t-{note.key}") for _ in range(2)))
        await self._send_payment(note, f"other-{note.key}")

    async def _pay_wrongly_first(self, _: Person, note: OrderNote, chance: random.Random) -> None:
        await self._send_payment(note, f"wrong-{note.key}", note.amount + 1)
        await self._send_payment(note, f"t-{note.key}")

    async def _cancel(self, customer: Person, note: OrderNote, chance: random.Random) -> None:
        await asyncio.sleep(chance.uniform(0, 1))
        await self._send_cancel(customer, note)

    async def _cancel_and_pay(self, customer: Person, note: OrderNote, chance: random.Random) -> None:
        both = [self._send_cancel(customer, note), self._send_payment(note, f"t-{note.key}")]
        chance.shuffle(both)
        await asyncio.gather(*both)

    async def _forget(self, _: Person, note: OrderNote, chance: random.Random) -> None:
        """Nobody pays."""

    async def _pay_too_late(self, _: Person, note: OrderNote, chance: random.Random) -> None:
        await asyncio.sleep(self._shop.terms.payment_window_s + chance.uniform(1, 3))
        await self._send_payment(note, f"t-{note.key}")

    async def _pay_at_the_edge(self, _: Person, note: OrderNote, chance: random.Random) -> None:
        await asyncio.sleep(max(0.0, self._shop.terms.payment_window_s + chance.uniform(-0.7, 0.7)))
        await self._send_payment(note, f"t-{note.key}")

    async def _send_payment(self, note: OrderNote, trade_id: str, amount: int | None = None) -> None:
        paid = Paid(trade_id, note.amount if amount is None else amount)
        note.payments.append(paid)
        body = encode({"pay_type": "card", "trade_id": trade_id, "amount": paid.amount})
        call = ApiCall("POST", f"/v1/orders/{note.order_id}/payment", body)
        answer, _ = await self.counter.ask(call, self._staff)
        kind = str(_told(answer).get("type", "")).removeprefix("urn:tillroll:")
        known = {"order-closed": "refund due", "already-paid": "refused", "wrong-amount": "refused"}
        if answer.status == 200:
            paid.answer = "paid"
        elif kind in known:
            paid.answer = known[kind]
        else:
            self.notes.complain(f"{call.path} was answered {answer.status} {answer.body[:300]!r}")
        self.notes.write("payment", {"order_id": note.order_id, "trade_id": trade_id, "answer": paid.answer})

    async def _send_cancel(self, customer: Person, note: OrderNote) -> None:
        call = ApiCall("POST", f"/v1/orders/{note.order_id}/cancel")
        answer, _ = await self.counter.ask(call, customer)
        if answer.status == 200:
            note.cancelled = True
        elif answer.status not in {404, 409}:
            self.notes.complain(f"{call.path} was answered {answer.status} {answer.body[:300]!r}")
        self.notes.write("cancel", {"order_id": note.order_id, "status": answer.status})

    async def _restock(self) -> None:
        number = 0
        while self._open:
            await asyncio.sleep(RESTOCK_EVERY_S)
            number += 1
            for goods_id in self._hot:
                reason = f"delivery {number} of {goods_id}"
                body = encode({"delta": HOT_DELIVERY, "reason": reason})
                path = f"/v1/inventory/{goods_id}/adjustments"
                try:
                    answer, _ = await self.counter.ask(ApiCall("POST", path, body, reason), self._staff)
                except NoAnswer as error:
                    self.notes.complain(str(error))
                    continue
                if answer.status == 200:
                    self.notes.add_stock(reason, goods_id, HOT_DELIVERY)
                else:
                    self.notes.complain(f"{path} was answered {answer.status} {answer.body[:300]!r}")


Habit = Callable[[Person, OrderNote, random.Random], Coroutine[Any, Any, None]]


def _known(lines: tuple[tuple[int, int], ...], ids: list[int]) -> Lines:
    """The lines of goods that this shop has, in small numbers."""
    return tuple((ids[place], min(units, 12)) for place, units in lines if place < len(ids))


def _told(answer: Answer) -> dict[str, Any]:
    told: dict[str, Any] = msgspec.json.decode(answer.body)
    return told


def _now() -> float:
    return asyncio.get_running_loop().time()
