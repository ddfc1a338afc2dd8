"""How many requests are worked on at once, and whose. What is more is refused before it is looked at.

Who is let in waits behind all others that were, so the bound on them is the bound on how long anybody waits:
as many as the shop answers in the time that a customer may wait (Little's law). How many those are, the
answers tell: when they take too long the bound comes down in proportion, when they do not it goes up by
little steps. Requests wait for the slowest part of the shop, whichever that is.

Reads have a bound of their own: those that wait for a projection must not keep orders out. So have payments:
one sender makes them for thousands of customers, and an equal share beside these would be next to nothing.
"""

import time
from collections.abc import Callable, Collection
from typing import Final

from starlette.types import ASGIApp, Receive, Scope, Send

TARGET_S: Final = 0.4
"""Answers that take longer, on average, bring the bound down."""

WEIGHT: Final = 0.05
"""Of one answer in that average."""

LEAST: Final = 32
DEEPEST_CUT: Final = 0.5
STEP: Final = 0.1
"""How much one answer moves the bound up while it is needed."""

QUIET_S: Final = 1.0

DEAF_S: Final = 0.1
MAX_DEAF_S: Final = 0.5
HEARD_PER_S: Final = 1_000
"""At the least, at the most, and how many are heard again in a second. A refusal takes a tenth of a
millisecond or two, most of it the system's: these leave the processor to those who are let in.
"""

PAYMENT: Final = "/payment"
"""How the path of a payment ends, and no other."""

OWN_QUEUES: Final[Collection[str]] = frozenset({"/v1/users", "/v1/sessions"})
"""Registering and logging in wait for the hashing of passwords, which bounds them itself."""


class Line:
    """Requests under way of one kind. Belongs to one event loop. `most`: what the bound begins with, never
    exceeds, and comes back to when nothing was under way for a second: a burst on a quiet shop is taken
    whole. `clock`: monotonic, in seconds.

    Fair: once half of the bound is taken, a sender who has a request under way gets another one only within
    an equal share, one share being kept for whoever comes next. A sender without any is let in as long as
    there is room at all.
    """

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.bound = float(most)
        self.under_way = 0
        self._clock = clock
        self._most = most
        self._least = min(LEAST, most)
        self._of: dict[bytes, int] = {}
        self._usual_s = 0.0
        self._cut_at = 0.0
        self._empty_since = 0.0

    def has_room(self, sender: bytes) -> bool:
        if self.under_way * 2 < self.bound:
            return True
        if self.under_way >= self.bound:
            return False
        return self._of.get(sender, 0) < self.bound / (len(self._of) + 1)

    def enter(self, sender: bytes) -> bool:
        """Whether it may; then `leave` must follow."""
        if not self.under_way and self._clock() - self._empty_since > QUIET_S:
            self.bound = float(self._most)
        if not self.has_room(sender):
            return False
        self.under_way += 1
        self._of[sender] = self._of.get(sender, 0) + 1
        return True

    def leave(self, sender: bytes) -> None:
        self.under_way -= 1
        left = self._of.pop(sender) - 1
        if left:
            self._of[sender] = left
        if not self.under_way:
            self._empty_since = self._clock()

    def answered(self, seconds: float) -> None:
        """One that was worked on to its end; one that ended undecided says nothing about the load.

        One cut at a time: what it does shows in later answers.
        """
        self._usual_s += (seconds - self._usual_s) * WEIGHT
        if self._usual_s <= TARGET_S:
            if self.under_way * 2 >= self.bound:
                self.bound = min(self._most, self.bound + STEP)
        elif (now := self._clock()) - self._cut_at >= self._usual_s:
            self._cut_at = now
            self.bound = max(self._least, self.bound * max(DEEPEST_CUT, TARGET_S / self._usual_s))


class Admission:
    """Of one process that answers HTTP. `most`: requests of each kind under way at once."""

    def __init__(self, most: int, clock: Callable[[], float] = time.monotonic) -> None:
        self.reads = Line(most, clock)
        self.writes = Line(most, clock)
        self.payments = Line(most, clock)
        self.refused = 0
        self._clock = clock
        self._listens_at = 0.0

    def deaf_s(self) -> float:
        """How many seconds a connection is not listened to after a refusal.

        Who does not heed Retry-After and asks at once again would keep the processor busy with refusals, so
        those who were refused are heard again one after the other.
        """
        now = self._clock()
        in_turn = max(now + DEAF_S, self._listens_at + 1 / HEARD_PER_S)
        self._listens_at = min(in_turn, now + MAX_DEAF_S)
        return self._listens_at - now

    def line(self, method: str, path: str) -> Line | None:
        """Where a request has to wait; None for one that is always let in, such as what monitoring asks."""
        if not path.startswith("/v1/") or path in OWN_QUEUES:
            return None
        if method in ("GET", "HEAD"):
            return self.reads
        return self.payments if path.endswith(PAYMENT) else self.writes


def sender_of(headers: Collection[tuple[bytes, bytes]], host: str) -> bytes:
    """Who sent a request, before anything of it is believed: its token as it came, or its address.

    `headers`: names in lower case.
    """
    for name, value in headers:
        if name == b"authorization":
            return value
    return host.encode()


class Admitting:
    """ASGI application around another one: lets requests in, as far as there is room."""

    def __init__(self, app: ASGIApp, refuse: ASGIApp, admission: Admission) -> None:
        """`refuse`: answers in its place."""
        self._app = app
        self._refuse = refuse
        self._admission = admission

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        line = self._admission.line(scope["method"], scope["path"]) if scope["type"] == "http" else None
        if line is None:
            await self._app(scope, receive, send)
            return
        sender = sender_of(scope["headers"], (scope.get("client") or ("",))[0])
        if not line.enter(sender):
            self._admission.refused += 1
            await self._refuse(scope, receive, send)
            return
        try:
            await self._app(scope, receive, send)
        finally:
            line.leave(sender)
