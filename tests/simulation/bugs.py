"""Deliberate bugs: each takes one protection out of the real code, as somebody might who thinks it useless.

They are switched on one at a time by a test, which demands that the simulation notices. What is patched is
the production code itself, so that a protection that moves or goes away breaks its bug here.
"""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, contextmanager
from dataclasses import replace
from typing import Any
from unittest.mock import patch
from weakref import WeakKeyDictionary

import orchestrator.watchdog
import projections.advance
from domain import order, saga, saga_decisions, saga_owed, saga_timing, sale, services, streams
from domain.order import Order, OrderPaid, OrderStatus, PayOrder
from domain.refusals import Unavailable
from domain.sale import Rollback, Sale, SaleStatus, Sell
from domain.services import ORDER
from domain.stock import Level, Stock, StockSold
from orchestrator.batch import Batch, Committed, Draft
from orchestrator.bookkeeper import Answer, Bookkeeper, Done, Request
from orchestrator.intake import Delivery, Intake
from orchestrator.inventory_worker import InventoryWorker
from orchestrator.log import LogConflict, LogUnavailable, Stored
from orchestrator.messages import Command, SoldReply
from orchestrator.patient_log import PatientLog
from orchestrator.shortages import Looked, Shortages
from orchestrator.watchdog import Watchdog
from projections.projection import Projection
from tests.simulation import node
from tests.simulation.store import Disk, SimLog, SimStore

Bug = Callable[[], AbstractContextManager[Any]]

decide_sell, decide_rollback = sale.decide_sell, sale.decide_rollback
Stocks = Mapping[int, Stock]
Written = tuple[tuple[str, Any], ...]


def no_tombstone() -> Any:
    """A Rollback that finds no sale leaves nothing behind, so the late Sell sells."""

    def rollback(found: Sale, stocks: Stocks, command: Rollback) -> Written:
        return () if found.status is SaleStatus.NONE else decide_rollback(found, stocks, command)

    return patch.object(sale, "decide_rollback", rollback)


@contextmanager
def check_then_write() -> Iterator[None]:
    """Inventory looks at the stock first and sells in a second step that trusts what it saw."""
    trusted: set[str] = set()
    handle = InventoryWorker.handle

    async def look_then_handle(self: InventoryWorker, commands: Sequence[Command]) -> None:
        for command in _sells(commands):
            names = [streams.stock(line.goods_id) for line in command.lines]
            levels = await self._ledger.read(*names)
            if all(levels[streams.stock(line.goods_id)].on_hand >= line.nums for line in command.lines):
                trusted.add(command.order_id)
        await handle(self, commands)

    def decide(found: Sale, stocks: Stocks, command: Sell) -> Written:
        plenty = {goods: stock._replace(on_hand=stock.on_hand + 1_000) for goods, stock in stocks.items()}
        if command.order_id not in trusted:
            return decide_sell(found, stocks, command)
        return tuple(
            (name, replace(event, on_hand=event.on_hand - 1_000) if isinstance(event, StockSold) else event)
            for name, event in decide_sell(found, plenty, command)
        )

    with patch.object(InventoryWorker, "handle", look_then_handle), patch.object(sale, "decide_sell", decide):
        yield


def ack_before_commit() -> Any:
    """The broker is told that a message was handled, then it is handled."""
    take = Intake.take

    async def ack_first(self: Intake, delivery: Delivery) -> None:
        await delivery.ack()
        await take(self, delivery)

    return patch.object(Intake, "take", ack_first)


def no_version_check() -> Any:
    """Events are stored after whatever is there now, not after what was seen."""
    commit = Disk.commit

    def renumbered(self: Disk, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        last: dict[str, int] = {}
        placed = []
        for event in events:
            name = str(event.originator_id)
            last[name] = last.get(name, len(self.recorder.select_events(name))) + 1
            placed.append(event._replace(originator_version=last[name]))
        return commit(self, placed, {})

    return patch.object(Disk, "commit", renumbered)


def refusals_from_old_stock() -> Any:
    """Streams that a decision only read are not checked when it is committed."""
    return patch.object(Batch, "only_read", lambda self: {})


def compensation_skipped() -> Any:
    """An order that is given up ends at once: what was sold for it stays sold."""
    moves = {**saga.MOVES, (saga.Step.SELLING, saga.SellUnanswered): saga.Step.CLOSED}
    return patch.object(saga, "MOVES", moves)


def nothing_owed_when_rolling_back() -> Any:
    """The Rollback is sent once, and never again."""
    return patch.object(saga_owed, "OWES", {saga.Step.SELLING: Sell})


def quantity_from_the_order() -> Any:
    """A Rollback gives back what the order wanted, whatever its sale took."""

    def rollback(found: Sale, stocks: Stocks, command: Rollback) -> Written:
        if found.status is SaleStatus.REFUSED:
            found = Sale(SaleStatus.SOLD, found.lines)
        return decide_rollback(found, stocks, command)

    def reads_lines(found: Sale, stocks: Stocks, command: Rollback) -> Written:
        known = {line.goods_id: stocks.get(line.goods_id, Stock()) for line in found.lines}
        return rollback(found, known, command)

    return patch.object(sale, "decide_rollback", reads_lines)


def timeout_ignored() -> Any:
    """Silence is never given up: the Sell is sent again for ever."""
    wake = saga_timing.wake

    def patient(found: saga.Saga, at: Any) -> Any:
        command = wake(found, at)
        if isinstance(command, saga.GiveUpSelling):
            return saga.NoteResend(found.order_id, at, "no answer")
        return command

    return patch.object(orchestrator.watchdog, "wake", patient)


@contextmanager
def inbox_by_memory_only() -> Iterator[None]:
    """A repeated Sell is known by what the process remembers, not by the sale in the log."""
    handle = InventoryWorker.handle

    async def remember(self: InventoryWorker, commands: Sequence[Command]) -> None:
        inbox: set[str] = self.__dict__.setdefault("inbox", set())
        known = [command for command in _sells(commands) if command.order_id in inbox]
        if known:
            await self._wire.send_replies([SoldReply(command.order_id) for command in known])
        await handle(self, [command for command in commands if command not in known])
        inbox.update(command.order_id for command in _sells(commands))

    def decide(found: Sale, stocks: Stocks, command: Sell) -> Written:
        return decide_sell(sale.NONE, stocks, command)

    with patch.object(InventoryWorker, "handle", remember), patch.object(sale, "decide_sell", decide):
        yield


def inbox_forgets_rollbacks() -> Any:
    """A repeated Rollback gives back once more."""

    def rollback(found: Sale, stocks: Stocks, command: Rollback) -> Written:
        if found.status is SaleStatus.RETURNED:
            found = found._replace(status=SaleStatus.SOLD)
        return decide_rollback(found, stocks, command)

    return patch.object(sale, "decide_rollback", rollback)


def position_saved_apart() -> Any:
    """A projection commits its rows, then its position in a transaction of its own."""
    whole = projections.advance.advance

    class Apart:
        def __init__(self, store: SimStore) -> None:
            self._store = store
            self.position: int | None = None

        def __getattr__(self, name: str) -> Any:
            return getattr(self._store, name)

        def save_position(self, position: int) -> None:
            self.position = position

    def advance(projection: Projection, store: SimStore, *, limit: int, until: int) -> tuple[int, int]:
        apart = Apart(store)
        found = whole(projection, apart, limit=limit, until=until)
        if apart.position is not None:
            with store.transaction():
                store.take_position()
                store.save_position(apart.position)
        return found

    return patch.object(node, "advance", advance)


def two_projectors_without_a_lock() -> Any:
    """Two processes advance the same projection at once."""
    return patch.object(SimStore, "take_position", lambda self: (self._shelf.position, True))


@contextmanager
def cache_updated_before_commit() -> Iterator[None]:
    """The states in memory move on before the log has them."""
    commit, try_commit = Bookkeeper._commit, Bookkeeper.try_commit

    def eager(self: Bookkeeper, draft: Draft) -> Sequence[int]:
        self._known.update(draft.work.after)
        forget = patch.object(self, "_forget", lambda names: None)
        with forget:
            return commit(self, draft)

    async def eager_too(self: Bookkeeper, draft: Draft) -> Committed | None:
        self._known.update(draft.work.after)
        return await try_commit(self, draft)

    with patch.object(Bookkeeper, "_commit", eager), patch.object(Bookkeeper, "try_commit", eager_too):
        yield


def lost_answer_taken_for_a_conflict() -> Any:
    """When a COMMIT is not answered, the batch is decided again without asking the log."""

    def append(self: PatientLog, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        try:
            return self._log.append(events, expect)
        except LogUnavailable as error:
            raise LogConflict from error

    return patch.object(PatientLog, "append", append)


@contextmanager
def answered_before_commit() -> Iterator[None]:
    """Callers are told that it is done although the log could not be reached."""
    commit, answers = Bookkeeper._commit, Bookkeeper.answers
    hoped: dict[int, Batch] = {}

    def remember(self: Bookkeeper, draft: Draft) -> Sequence[int]:
        try:
            return commit(self, draft)
        except LogUnavailable:
            hoped[id(self)] = draft.work
            raise

    def hopeful(self: Bookkeeper, requests: Sequence[Request], committed: Committed) -> Sequence[Answer]:
        work = hoped.pop(id(self), None)
        told = answers(self, requests, committed)
        if work is None:
            return told
        states = {name: state for name, (_, state) in {**work.known, **work.after}.items()}
        return [
            Done((), states, None)
            if isinstance(answer, Unavailable) and request.cause is not None
            else answer
            for request, answer in zip(requests, told, strict=True)
        ]

    with patch.object(Bookkeeper, "_commit", remember), patch.object(Bookkeeper, "answers", hopeful):
        yield


def late_payment_reopens() -> Any:
    """Money for a closed order opens it again."""
    pay = order.decide_pay

    def reopening(found: Order, command: PayOrder) -> tuple[order.OrderEvent, ...]:
        if found.status is OrderStatus.CLOSED:
            return (OrderPaid(command.payment),)
        return pay(found, command)

    return patch.object(order, "decide_pay", reopening)


def answered_before_sold() -> Any:
    """Inventory says that it has sold, then it sells."""
    handle = InventoryWorker.handle

    async def promise_then_handle(self: InventoryWorker, commands: Sequence[Command]) -> None:
        if sells := _sells(commands):
            await self._wire.send_replies([SoldReply(command.order_id) for command in sells])
        await handle(self, commands)

    return patch.object(InventoryWorker, "handle", promise_then_handle)


def _sells(commands: Sequence[Command]) -> list[Sell]:
    return [command for command in commands if isinstance(command, Sell)]


def nobody_sends_again() -> Any:
    """There is no watchdog: what was lost stays lost."""

    async def look(self: Watchdog) -> int:
        return 0

    return patch.object(Watchdog, "look", look)


def what_is_there_is_sold() -> Any:
    """A Sell takes the lines that it can get."""

    def decide(found: Sale, stocks: Stocks, command: Sell) -> Written:
        lines = tuple(line for line in command.lines if stocks[line.goods_id].on_hand >= line.nums)
        return decide_sell(found, stocks, Sell(command.order_id, lines) if lines else command)

    return patch.object(sale, "decide_sell", decide)


def sale_and_stock_in_two_commits() -> Any:
    """The sale is stored first and the levels of the goods after it."""
    append = SimLog.append

    def halves(self: SimLog, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        first = [event for event in events if str(event.originator_id).startswith("sale-")]
        then = [event for event in events if not str(event.originator_id).startswith("sale-")]
        if not first or not then:
            return append(self, events, expect)
        return [*append(self, first, expect), *append(self, then, {})]

    return patch.object(SimLog, "append", halves)


def cancelled_without_a_return() -> Any:
    """Cancelling an order closes it, and its stock is forgotten."""

    def keep(found: saga.Saga, event: Any) -> saga.Saga:
        after = evolve(found, event)
        return after._replace(step=saga.Step.CLOSED) if isinstance(event, saga.OrderCancelled) else after

    evolve = saga.evolve
    return _with_evolve(keep)


def closed_account_is_simply_refused() -> Any:
    """An order whose customer has gone is refused after it was sold, and keeps its stock."""
    moves = {**saga.MOVES, (saga.Step.SELLING, saga.PlacementRefused): saga.Step.REFUSED}
    return patch.object(saga, "MOVES", moves)


def dropped_without_parking() -> Any:
    """What nobody can read is dropped, and nobody learns of it."""

    async def drop(self: Intake, delivery: Delivery, reason: str, outcome: str) -> str:
        await delivery.drop()
        return outcome

    return patch.object(Intake, "_park", drop)


def pauses_never_grow() -> Any:
    """What is owed is sent again every second, for ever."""
    return patch.object(saga_timing, "RESEND_PAUSES_S", (1, 1))


def cart_lines_never_released() -> Any:
    """The lines of an order that was not placed can never be ordered again."""
    return patch.object(services, "_released", lambda command, states: ())


def compensation_only_promised() -> Any:
    """An operator is told that the order is given up, and nothing is recorded."""
    return patch.object(saga_decisions, "decide_compensate", lambda found, placed, command: None)


def refused_from_memory() -> Any:
    """What was short once is taken to be short still, without a look into inventory's books."""

    async def remembered(self: Shortages, goods_ids: Iterable[int]) -> Mapping[int, Level]:
        return {goods_id: Level(goods_id, 0) for goods_id in goods_ids}

    return patch.object(Shortages, "_read", remembered)


def look_of_before() -> Any:
    """What somebody has just seen in inventory's books will do for whoever asks within the next seconds."""
    look, seen = Shortages.look, WeakKeyDictionary[Shortages, tuple[float, Looked]]()

    def same_again(self: Shortages, goods_ids: Sequence[int]) -> Looked | None:
        now = asyncio.get_running_loop().time()
        if self in seen and now - seen[self][0] < 3.0:
            return seen[self][1]
        looked = look(self, goods_ids)
        if looked is not None:
            seen[self] = now, looked
        return looked

    return patch.object(Shortages, "look", same_again)


def _with_evolve(evolve: Callable[[saga.Saga, Any], saga.Saga]) -> Any:
    category = replace(ORDER.categories["saga"], evolve=evolve)
    return patch.dict(ORDER.categories, {"saga": category})


BUGS: tuple[Bug, ...] = (
    no_tombstone,
    check_then_write,
    ack_before_commit,
    no_version_check,
    refusals_from_old_stock,
    compensation_skipped,
    nothing_owed_when_rolling_back,
    quantity_from_the_order,
    timeout_ignored,
    inbox_by_memory_only,
    inbox_forgets_rollbacks,
    position_saved_apart,
    two_projectors_without_a_lock,
    cache_updated_before_commit,
    lost_answer_taken_for_a_conflict,
    answered_before_commit,
    late_payment_reopens,
    answered_before_sold,
    nobody_sends_again,
    what_is_there_is_sold,
    sale_and_stock_in_two_commits,
    cancelled_without_a_return,
    closed_account_is_simply_refused,
    dropped_without_parking,
    pauses_never_grow,
    cart_lines_never_released,
    compensation_only_promised,
    refused_from_memory,
    look_of_before,
)
