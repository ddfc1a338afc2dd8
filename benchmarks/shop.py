"""A shop in memory: commands decided by the services' own rules, their events encoded by the real codec.

Only what may still be read is kept: goods, users and carts, of which there is a bounded number, and orders
until they end. So ten million events take no more memory than one.
"""

import random
from collections import defaultdict
from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from adapters.event_codec import encode
from adapters.ids import COUNTER_BITS, EPOCH, NODE_BITS
from domain import streams
from domain.recorded import Cause, Recorded
from domain.saga import Saga
from domain.sale import Sale
from domain.service import Service, Written
from domain.services import GOODS, INVENTORY, ORDER, USER
from orchestrator.log import Stored

START: Final = datetime(2026, 1, 5, 8, 0, tzinfo=UTC)
TICK: Final = timedelta(milliseconds=250)
COMMAND_TAKES: Final = timedelta(milliseconds=1)

LAG_TICKS: Final = 20
"""What one log causes in another comes at least so much later: the commits of that many ticks may be one."""

WRITER: Final = "b0b0b0"
"""The mark that a ledger leaves in the ids of its commands."""

ORDER_IDS_A_MS: Final = 1 << COUNTER_BITS


class Shop:
    """`waiting`: events by log, in the order in which they were recorded, for whoever stores them.

    `users`, `goods`: who is there, and what is for sale. `low`: goods that are nearly sold out.
    `visiting`: users who are in the middle of something.
    """

    def __init__(self, seed: int) -> None:
        self.rng = random.Random(seed)
        self.tick = 0
        self.now = START
        self.users: list[int] = []
        self.goods: list[int] = []
        self.low: dict[int, None] = {}
        self.visiting: set[int] = set()
        self.waiting: defaultdict[str, list[Stored]] = defaultdict(list)
        self.last_user = 0
        self.last_goods = 0
        self._known: dict[str, tuple[int, Any]] = {}
        self._orders = 0

    def next_tick(self) -> None:
        self.tick += 1
        self.now = START + self.tick * TICK

    def ticks_until(self, at: datetime) -> int:
        """Ticks after which `at` is over, one at least; counted from the beginning of this one."""
        return max(1, (at - (START + self.tick * TICK)) // TICK + 1)

    def hop(self) -> int:
        """Ticks that news takes from one log to another."""
        return LAG_TICKS + self.rng.randrange(LAG_TICKS)

    def tell(
        self, service: Service, command: Any, caller: str, command_id: str = "", about: str = ""
    ) -> Written:
        """Decides and records one command; `about`: the order id, if there is one. Raises Refusal."""
        rule = service.rules[type(command)]
        states = {name: self.state(service, name) for name in rule.reads(command)}
        for name in rule.reads_then(command, states):
            states[name] = self.state(service, name)
        written = rule.decide(command, states)
        if written:
            cause = Cause(f"{command_id or self.token()}~{WRITER}", caller, about, self.now)
            self._record(service, written, cause)
        self.now += COMMAND_TAKES
        return written

    def state(self, service: Service, stream: str) -> Any:
        known = self._known.get(stream)
        return service.initial(stream) if known is None else known[1]

    def saga(self, order_id: str) -> Saga:
        saga: Saga = self.state(ORDER, streams.saga(order_id))
        return saga

    def sale(self, order_id: str) -> Sale:
        sale: Sale = self.state(INVENTORY, streams.sale(order_id))
        return sale

    def forget(self, names: Iterable[str]) -> None:
        """Streams that nobody will write to again."""
        for stream in names:
            self._known.pop(stream, None)

    def _record(self, service: Service, written: Written, cause: Cause) -> None:
        known, waiting = self._known, self.waiting[service.log]
        for stream, event in written:
            version, state = known.get(stream) or (0, service.initial(stream))
            known[stream] = (version + 1, service.evolve(stream, state, event))
            waiting.append(encode(Recorded(stream, version + 1, event, cause)))

    # what comes by chance

    def token(self) -> str:
        """What uuid4 or a keyed hash would give."""
        return f"{self.rng.getrandbits(128):032x}"

    def new_order_id(self) -> str:
        self._orders += 1
        ms = (self.now - EPOCH) // timedelta(milliseconds=1)
        return str(ms << (NODE_BITS + COUNTER_BITS) | self._orders % ORDER_IDS_A_MS)

    def visitor(self) -> int | None:
        """Somebody who does nothing else just now, until `leave`; None in an empty shop."""
        if not self.users:
            return None
        user_id = self.rng.choice(self.users)
        if user_id in self.visiting:
            return None
        self.visiting.add(user_id)
        return user_id

    def leave(self, user_id: int) -> None:
        self.visiting.discard(user_id)

    def some_goods(self, count: int) -> list[int]:
        """Different goods, some of them much more popular than others."""
        chosen: dict[int, None] = {}
        for _ in range(4 * count):
            if len(chosen) == count:
                break
            place = int(len(self.goods) * self.rng.random() ** 2)
            chosen[self.goods[place]] = None
        return list(chosen)


SERVICES: Final = (USER, GOODS, INVENTORY, ORDER)
"""In the order in which what one tick recorded is stored: goods are there before what is done with them."""
