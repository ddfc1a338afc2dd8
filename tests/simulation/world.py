"""One history: a shop of several processes, people who use it, and everything that goes wrong."""

import asyncio
from collections import Counter
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import timedelta
from typing import Any, Final

from adapters.event_codec import encode
from adapters.wire_codec import decode as decode_message
from domain import streams
from domain.cart import CartLine, CartReplaced
from domain.goods import GoodsCreated
from domain.recorded import Cause, Recorded
from domain.services import SERVICES
from domain.stock import StockSet
from projections import PROJECTIONS
from projections.order_saga import ORDER_SAGA
from projections.projection import fold_log
from tests.simulation.auditor import PRICES, TERMINAL, Auditor, Violation
from tests.simulation.broker import COMMANDS, DAY_S, REPLIES, SimBroker
from tests.simulation.chance import Chance
from tests.simulation.forgery import forged, garbage
from tests.simulation.loop import Process, SimLoop
from tests.simulation.node import PAYMENT_WINDOW_S, SELL_DEADLINE_S, START, Node, Site
from tests.simulation.store import Disk, Shelf
from tests.simulation.workload import Shoppers, Workload

MAX_PAUSE_S: Final = 60.0
"""The longest pause of a saga that is sent again; see domain.saga_timing."""

MAX_CLOCK_JUMP_S: Final = 300.0

HEALED_WITHIN_S: Final = PAYMENT_WINDOW_S + SELL_DEADLINE_S + MAX_CLOCK_JUMP_S + 2 * MAX_PAUSE_S + 60.0
"""How long after the last fault every saga must have ended, in virtual seconds."""

READ_STATUS: Final = {"TO_PAY": 1, "PAID": 2, "CLOSED": 3}
"""How the read model says it."""

SLACK_S: Final = 20.0
"""How long after a deadline the watchdog may notice: its list, its look, its decision."""

MAX_RIVAL_TURNS: Final = 60
"""Steps of other processes in the middle of one blocking call."""

TURNS_BETWEEN_LOOKS: Final = 8
"""Between two looks whether a history is over."""

MAX_TURNS: Final = 400_000
"""Callbacks of one history before it is taken for an endless loop."""

TOPOLOGIES: Final[Sequence[Sequence[tuple[str, Sequence[str]]]]] = (
    (("shop", ("api", "inventory", "orchestrator")), ("projector", ("projector",))),
    (
        ("shop-1", ("api", "inventory", "orchestrator", "projector")),
        ("shop-2", ("api", "inventory", "orchestrator", "projector")),
    ),
    tuple(
        (f"{role}-{number}", (role,))
        for role in ("api", "inventory", "orchestrator", "projector")
        for number in (1, 2)
    ),
)
"""As `tillroll up` runs it; everything twice in two processes; two processes of every role."""


@dataclass(slots=True)
class Plan:
    """What a history is about. `steps`: visits to a fault point before the world is healed at the latest;
    `stock`: units of each goods; `inventory_stays_away`: it is the last to come back; `repeats`: old
    messages that come once more when all is over."""

    topology: Sequence[tuple[str, Sequence[str]]]
    shoppers: Shoppers
    stock: Sequence[int]
    steps: int
    inventory_stays_away: bool
    repeats: int = 5


@dataclass(slots=True)
class Told:
    """What a history was like. `steps`: visits to a boundary where something could go wrong."""

    steps: int
    orders: int
    events: int
    turns: int
    ends: Counter[str] = field(default_factory=Counter)
    counted: Counter[str] = field(default_factory=Counter)


class World:
    """Runs one history. Raises Violation as soon as a law is broken."""

    def __init__(self, chance: Chance, plan: Plan, say: Callable[[str], None] | None = None) -> None:
        self.chance = chance
        self.plan = plan
        self._say = say
        chance.told = self._tell
        self.auditor = Auditor()
        self.loop = SimLoop(self._problem)  # type: ignore[abstract]  # only what our code uses
        self.disks = {service.log: Disk(service.log, chance, self._committed) for service in SERVICES}
        self.broker = SimBroker(self.loop, chance, self._acknowledged, self._dropped)
        is_projected = any("projector" in roles for _, roles in plan.topology)
        self.shelves = [Shelf(projection) for projection in PROJECTIONS if is_projected]
        self.due = Shelf(ORDER_SAGA)
        self.nodes: dict[str, Node] = {}
        self.order_ids = 0
        self.turns = 0
        self.trouble: Violation | None = None
        self._lives: Counter[str] = Counter()
        self.processes: list[Process] = [self.loop.outside]
        self.rubbish: set[bytes] = set()
        self._nested = False
        self._away: set[str] = set()
        self.site = Site(
            loop=self.loop,
            chance=chance,
            disks=self.disks,
            shelves=self.shelves,
            due=self.due,
            broker=self.broker,
            parked={},
            counted=Counter(),
            new_order_id=self._new_order_id,
            rival=self._rival,
        )
        self.workload = Workload(self.loop, chance, self.auditor, self._apis, plan.shoppers)

    # the whole of it

    def run(self) -> Told:
        with self.opened():
            self.spawn(self._gremlin())
            self.workload.begin(self.spawn)
            self._until(lambda: self._workload_is_over() or self.chance.visits >= self.plan.steps)
            self.heal()
            self.judge()
            return self.told()

    @contextmanager
    def opened(self) -> Iterator[None]:
        """The shop's doors are open: its processes run as long as somebody turns the loop."""
        asyncio._set_running_loop(self.loop)
        try:
            self._stock_up()
            for name, _ in self.plan.topology:
                self._start(name)
            yield
        finally:
            for process in self.processes:
                self.loop.bury(process)
            asyncio._set_running_loop(None)

    def spawn(self, coro: Coroutine[Any, Any, None]) -> None:
        """Somebody outside of the shop does this; a law that breaks meanwhile ends the history."""
        self.loop.spawn(self.loop.outside, self._watched(coro))

    def let(self, turns: int) -> None:
        """So many steps of whoever is chosen. Raises Violation."""
        for _ in range(turns):
            self._turn()

    def pass_time(self, seconds: float) -> None:
        """Until the clock has moved on by so much. Raises Violation."""
        until = self.loop.now + seconds
        self._until(lambda: self.loop.now >= until)

    def _until(self, done: Callable[[], bool]) -> None:
        """Turn by turn until it is done. Raises Violation when it never is."""
        while not done():
            self.let(TURNS_BETWEEN_LOOKS)
            if self.turns > MAX_TURNS:
                raise Violation("every saga ends", "the history does not end")

    def _turn(self) -> None:
        """One callback or one blocking call of one process; or the clock moves to what happens next."""
        now = self.loop.now
        ready = [p for p in self.processes if (p.ready or p.jobs) and p.stopped_until <= now]
        if not ready or self.chance.hurries():
            self._move_clock(bool(ready))
        else:
            self._work(ready)
        if self.trouble is not None:
            raise self.trouble

    def _work(self, ready: Sequence[Process]) -> None:
        self.turns += 1
        process = ready[self.chance.pick(len(ready))] if len(ready) > 1 else ready[0]
        if process.jobs and (not process.ready or self.chance.yes(0.5)):
            self.loop.run_job(process)
        else:
            self.loop.run_callback(process)
        if process is not self.loop.outside:
            self._what_becomes_of(process)

    def _move_clock(self, somebody_works: bool) -> None:
        if not self.loop.fire_due() and not somebody_works:
            raise Violation("the shop goes on", "nobody has anything to do or to wait for")

    def _what_becomes_of(self, process: Process) -> None:
        fault = self.chance.fault("await")
        if fault == "stop":
            self._stop(process, self.chance.between(0.1, 12.0))
        if process.doomed or not process.alive or fault == "crash":
            self._die(process)

    def _tell(self, what: str) -> None:
        """For whoever reads one history step by step."""
        if self._say is not None:
            self._say(f"{self.loop.now:10.3f} s  {self.loop.current.name:14} {what}")

    # processes

    def _start(self, name: str) -> None:
        if name in self._away:
            return
        self._lives[name] += 1
        process = Process(name)
        self._tell(f"{name} starts")
        roles = dict(self.plan.topology)[name]
        node = Node(self.site, process, roles, self._lives[name])
        self.nodes[name] = node
        self.processes.append(process)
        task = self.loop.spawn(process, node.run())
        task.add_done_callback(lambda done: self._ended(process, done))

    def _ended(self, process: Process, done: asyncio.Task[Any]) -> None:
        if process.alive:
            error = None if done.cancelled() else done.exception()
            self._problem(process, f"ended by itself: {error!r}")

    def kill(self, name: str) -> None:
        """A process by its name, if it lives just now."""
        if name in self.nodes:
            self._die(self.nodes[name].process)

    def stop(self, name: str, for_s: float) -> None:
        """It stands still, as after SIGSTOP, while the others go on."""
        if name in self.nodes:
            self._stop(self.nodes[name].process, for_s)

    def _stop(self, process: Process, for_s: float) -> None:
        process.stopped_until = self.loop.now + for_s
        self.loop.call_for(self.loop.outside, for_s, int)

    def _die(self, process: Process) -> None:
        """kill -9; whoever watches over it starts it again after a while."""
        if process not in self.processes:
            return
        self._tell(f"{process.name} is killed")
        self.processes.remove(process)
        self.loop.bury(process)
        del self.nodes[process.name]
        pause_s = 0.1 if self.chance.calm else self.chance.between(0.1, 12.0)
        self.loop.call_for(self.loop.outside, pause_s, self._start, process.name)

    def _problem(self, process: Process, what: str) -> None:
        self._trouble(Violation("no process breaks", f"{process}: {what}"))

    def _trouble(self, violation: Violation) -> None:
        self.trouble = self.trouble or violation

    def _rival(self, process: Process) -> None:
        """Other processes go on for a while in the middle of a blocking call, just before its commit."""
        if self._nested:
            return
        self._nested = True
        for _ in range(1 + self.chance.pick(MAX_RIVAL_TURNS)):
            now = self.loop.now
            others = [p for p in self.processes if p is not process and p.has_work and p.stopped_until <= now]
            if others:
                self._work(others)
        self._nested = False

    def _apis(self) -> list[Node]:
        return [node for name, node in self.nodes.items() if "api" in dict(self.plan.topology)[name]]

    def _new_order_id(self) -> str:
        self.order_ids += 1
        return str(1_000 + self.order_ids)

    # what goes wrong with the world

    async def _watched(self, coro: Coroutine[Any, Any, None]) -> None:
        """A part of the workload; what it finds ends the history."""
        try:
            await coro
        except Violation as violation:
            self._trouble(violation)

    async def _gremlin(self) -> None:
        while not self.chance.calm:
            await asyncio.sleep(self.chance.between(0.5, 15.0))
            self.strike(self.chance.fault("world"))

    def strike(self, fault: str) -> None:
        """One of the faults of the world at large."""
        chance = self.chance
        match fault:
            case "broker-wiped":
                self.broker.wipe()
            case "broker-down":
                self.broker.down_until = self.loop.now + chance.between(1.0, 20.0)
            case "log-down":
                disk = list(self.disks.values())[chance.pick(len(self.disks))]
                disk.is_down = True
                self.loop.call_for(self.loop.outside, chance.between(1.0, 20.0), self._log_is_back, disk)
            case "clock-jump" if self.nodes:
                node = list(self.nodes.values())[chance.pick(len(self.nodes))]
                node.offset_s = chance.between(-MAX_CLOCK_JUMP_S, MAX_CLOCK_JUMP_S)
            case "time-leap":
                self.loop.now += chance.between(60.0, 3 * DAY_S)
            case "garbage":
                data = garbage(chance)
                self.rubbish.add(data)
                self.broker.store((COMMANDS, REPLIES)[chance.pick(2)], "anything", data)
            case "forgery":
                self.broker.store(REPLIES, "anything", forged(chance, self.auditor))

    def _log_is_back(self, disk: Disk) -> None:
        disk.is_down = False

    def _committed(self, log: str, events: Sequence[Recorded]) -> None:
        """Somebody's COMMIT holds: the auditor looks at it, and those who follow the log are woken."""
        if self._say is not None:
            for recorded in events:
                self._tell(f"{log}={recorded.position} {recorded.originator_id} {recorded.event}")
        try:
            self.auditor.see(log, events)
        except Violation as violation:
            self._trouble(violation)
        for node in self.nodes.values():
            if node.is_following and not node.woken.is_set():
                self.loop.call_for(node.process, 0.0, node.woken.set)

    def _acknowledged(self, data: bytes) -> None:
        try:
            for item in decode_message(data):
                self.auditor.acknowledged(item)
        except Violation as violation:
            self._trouble(violation)

    def _dropped(self, place: str) -> None:
        if place not in self.site.parked:
            self._trouble(Violation("nothing is dropped that is not parked", place))

    # beginning and end

    def _stock_up(self) -> None:
        cause = Cause("opening", "staff", "", START)
        for goods_id, units in zip(self.plan.shoppers.goods, self.plan.stock, strict=True):
            made = Recorded(
                streams.goods(goods_id),
                1,
                GoodsCreated(goods_id, f"goods {goods_id}", PRICES[goods_id]),
                cause,
            )
            counted = Recorded(streams.stock(goods_id), 1, StockSet(units, 0), cause)
            self.disks["goods"].commit([encode(made)], {})
            self.disks["inventory"].commit([encode(counted)], {})
        for user_id in range(1, 1 + self.plan.shoppers.customers * self.plan.shoppers.small):
            filled = CartReplaced((CartLine(1, 1, checked=True),))
            self.disks["order"].commit([encode(Recorded(streams.cart(user_id), 1, filled, cause))], {})

    def heal(self) -> None:
        """Nothing goes wrong any more, and everybody comes back; inventory last, if so planned."""
        self._tell("the world is healed")
        self.chance.calm = True
        self.broker.down_until = self.loop.now
        for disk in self.disks.values():
            self._log_is_back(disk)
        for node in self.nodes.values():
            node.offset_s, node.process.stopped_until = 0.0, 0.0
        if self.plan.inventory_stays_away:
            self._deadline_without_inventory()
        self.broker.release()
        ends_at = self.loop.now + HEALED_WITHIN_S
        self._until(lambda: self._all_is_done() or self.loop.now > ends_at)
        # Long after, some of the oldest messages come once more.
        self.broker.repeat(self.plan.repeats)
        # A request whose caller has given up may still come through; everything else is quiet by now.
        before, late = self.auditor.unasked, self.loop.now + 3.0
        self._until(lambda: self.loop.now > late)
        self._until(lambda: self.broker.is_drained or self.loop.now > late + 60.0)
        if self.auditor.unasked != before:
            raise Violation("old messages change nothing", f"{self.auditor.unasked - before} new events")

    def _deadline_without_inventory(self) -> None:
        """Silence has an end: with inventory gone no order is undecided for longer than it may be."""
        self._away = {name for name, roles in self.plan.topology if tuple(roles) == ("inventory",)}
        for name in self._away & set(self.nodes):
            self._die(self.nodes[name].process)
        until = self.loop.now + SELL_DEADLINE_S + SLACK_S
        self._until(lambda: self.loop.now > until)
        by = self.nodes[next(iter(self.nodes))].clock() - timedelta(seconds=SLACK_S)
        late = [order_id for order_id, book in self.auditor.orders.items() if book.is_undecided(by)]
        if self._away and late:
            raise Violation("silence has an end", f"orders {late} still wait for inventory")
        for name in sorted(self._away):
            self.loop.call_for(self.loop.outside, 0.0, self._start, name)
        self._away = set()

    def _workload_is_over(self) -> bool:
        return self.workload.left == 0 and self._all_ended()

    def _all_ended(self) -> bool:
        return all(book.step in TERMINAL for book in self.auditor.orders.values())

    def _all_is_done(self) -> bool:
        if self.workload.left or not self._all_ended():
            return False
        return all(shelf.position == self._head(shelf) for shelf in (*self.shelves, self.due))

    def _head(self, shelf: Shelf) -> int:
        return self.disks[shelf.projection.log].head

    def judge(self) -> None:
        self.auditor.end()
        if self.workload.left:
            raise Violation("every client gets an answer", f"{self.workload.left} still wait")
        for shelf in (*self.shelves, self.due):
            if shelf.went_back:
                raise Violation("read models only move on", shelf.projection.name)
            head = self._head(shelf)
            rebuilt = fold_log(shelf.projection, self.disks[shelf.projection.log].events)
            if (shelf.position, shelf.tables) != (head, rebuilt):
                raise Violation("read models equal a rebuild", shelf.projection.name)
            if shelf.projection.name == "order_info":
                self._orders_read_as_they_are(shelf)
        for parked in self.site.parked.values():
            if parked.data not in self.rubbish:
                raise Violation("only rubbish is parked", f"{parked.place}: {parked.reason}")

    def _orders_read_as_they_are(self, shelf: Shelf) -> None:
        """Against what the auditor knows, and not only against our own fold."""
        rows: list[Any] = [row for rows in shelf.tables["order_info"].values() for row in rows]
        read = {str(row.order_id): (row.status, row.order_mount) for row in rows}
        books = self.auditor.orders.items()
        known = {order_id: (READ_STATUS[book.state], book.amount) for order_id, book in books if book.state}
        if read != known:
            raise Violation("read models say what happened", f"{read} against {known}")

    def told(self) -> Told:
        return Told(
            steps=self.chance.visits,
            orders=len(self.auditor.orders),
            events=self.auditor.seen,
            turns=self.turns,
            ends=Counter(book.step for book in self.auditor.orders.values()),
            counted=self.site.counted,
        )
