"""One run of chaos: a shop of real processes under load and faults, then peace, then every check."""

import asyncio
import json
import time
from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psycopg

from tests.chaos.books import behind, read_books, undecided
from tests.chaos.check import violations
from tests.chaos.faults import Injector
from tests.chaos.notes import GIVEN_UP, NOTHING, PLACED, REFUSED, Notes
from tests.chaos.shop import Shop, Terms
from tests.chaos.workload import Size, Workload

PEACE_WITHIN_S: Final = 60.0
"""From the last fault until every saga must be at its end."""
GIVE_UP_AFTER_S: Final = 240.0
"""When it is not by then, the checks are made all the same."""
CAUGHT_UP_WITHIN_S: Final = 60.0
LOOK_EVERY_S: Final = 0.5
TELL_EVERY_S: Final = 2.0
KEPT_VIOLATIONS: Final = 20
AUDIT: Final = "tillroll audit is clean"
PEACE: Final = f"every saga at its end within {PEACE_WITHIN_S:.0f} s"
SHOWN: Final = "read models caught up"

Tell = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class Plan:
    """`seconds`: of faults. One kill and one other fault every so many seconds, on average."""

    seconds: float
    seed: int
    terms: Terms = field(default_factory=Terms)
    size: Size = field(default_factory=Size)
    kill_every_s: float = 2.75
    other_every_s: float = 3.0


@dataclass(slots=True)
class Result:
    """Everything that is known of a run. `broken`: promise -> how, the first few; `peace_s`: seconds."""

    minutes: float
    seed: int
    orders_decided: int = 0
    accepted: int = 0
    paid: int = 0
    refused: int = 0
    given_up: int = 0
    never_started: int = 0
    cancelled: int = 0
    lapsed: int = 0
    refunds_due: int = 0
    requests: int = 0
    requests_sent_again: int = 0
    own_exits: int = 0
    kills: int = 0
    wipes: int = 0
    peace_s: float = 0.0
    faults: dict[str, int] = field(default_factory=dict)
    dropped: dict[str, int] = field(default_factory=dict)
    violations: dict[str, int] = field(default_factory=dict)
    broken: dict[str, list[str]] = field(default_factory=dict)

    @property
    def is_clean(self) -> bool:
        return bool(self.violations) and not any(self.violations.values())

    def judge(self, promise: str, broken: list[str]) -> None:
        self.violations[promise] = len(broken)
        if broken:
            self.broken[promise] = broken[:KEPT_VIOLATIONS]


async def chaos(plan: Plan, folder: Path, tell: Tell) -> Result:
    """Raises EmbeddedServerError, CalledProcessError when the shop cannot even be opened."""
    notes = Notes()
    shop = Shop(folder, plan.terms, plan.seed)
    with (folder / "workload.jsonl").open("w") as notes.book:
        try:
            await shop.start()
            workload = Workload(shop, plan.size, plan.seed, notes)
            try:
                tell("opening the shop")
                await workload.set_up()
                return await _run(plan, shop, workload, tell)
            finally:
                await workload.counter.close()
        finally:
            await shop.stop()


async def _run(plan: Plan, shop: Shop, workload: Workload, tell: Tell) -> Result:
    every = {"kill_every_s": plan.kill_every_s, "other_every_s": plan.other_every_s}
    injector = Injector(shop, workload.notes, plan.seed, **every)
    selling = asyncio.create_task(workload.run())
    telling = asyncio.create_task(_keep_telling(shop, workload, injector, tell))
    try:
        await injector.run(plan.seconds)
        workload.close()
        last_fault = time.monotonic()
        await selling
        peace_s = await _await_peace(shop, last_fault)
    finally:
        telling.cancel()
        selling.cancel()
        await asyncio.gather(telling, selling, return_exceptions=True)
    result = _result(plan, shop, workload, injector)
    result.peace_s = round(peace_s, 1)
    tell(f"every saga was at its end {peace_s:.1f} s after the last fault; checking")
    await _judge(result, shop, workload.notes)
    return result


async def _keep_telling(shop: Shop, workload: Workload, injector: Injector, tell: Tell) -> None:
    while True:
        await asyncio.sleep(TELL_EVERY_S)
        notes = workload.notes
        decided = notes.count(PLACED) + notes.count(REFUSED) + notes.count(GIVEN_UP)
        tell(
            f"{decided:,} orders decided, {injector.kills} kills, {injector.wipes} broker wipes,"
            f" {sum(injector.injected.values())} faults, {shop.alive()} processes alive,"
            f" {workload.counter.failures:,} requests sent again, {len(notes.complaints)} complaints"
        )


async def _await_peace(shop: Shop, since: float) -> float:
    """Seconds until no saga owes or awaits anything, or how long that was waited for."""
    while (waited := time.monotonic() - since) < GIVE_UP_AFTER_S:
        try:
            if not await asyncio.to_thread(undecided, shop.dsn):
                break
        except psycopg.Error:
            pass
        await asyncio.sleep(LOOK_EVERY_S)
    return waited


async def _judge(result: Result, shop: Shop, notes: Notes) -> None:
    late = await asyncio.to_thread(undecided, shop.dsn)
    if result.peace_s > PEACE_WITHIN_S and not late:
        late = [f"it took {result.peace_s} s"]
    result.judge(PEACE, late)
    result.judge(SHOWN, await _catch_up(shop))
    books = await asyncio.to_thread(read_books, shop.dsn)
    for promise, broken in violations(notes, books).items():
        result.judge(promise, broken)
    result.lapsed = sum(event.name == "PaymentLapsed" for events in books.order.values() for event in events)
    audit = await asyncio.to_thread(shop.tillroll, "audit", "--json", check=False)
    said = f"exit code {audit.returncode}: {audit.stderr[-500:]} {audit.stdout[:3000]}"
    result.judge(AUDIT, [] if audit.returncode == 0 and json.loads(audit.stdout)["clean"] else [said])


async def _catch_up(shop: Shop) -> list[str]:
    """Projections that stay behind their logs."""
    ends_at = time.monotonic() + CAUGHT_UP_WITHIN_S
    while (left := await asyncio.to_thread(behind, shop.dsn)) and time.monotonic() < ends_at:
        await asyncio.sleep(LOOK_EVERY_S)
    return left


def _result(plan: Plan, shop: Shop, workload: Workload, injector: Injector) -> Result:
    notes = workload.notes
    answers = Counter(payment.answer for note in notes.orders for payment in note.payments)
    dropped = sum((Counter(proxy.done) for proxy in shop.proxies), Counter[str]())
    placed, refused, given_up = notes.count(PLACED), notes.count(REFUSED), notes.count(GIVEN_UP)
    return Result(
        minutes=round(plan.seconds / 60, 2),
        seed=plan.seed,
        orders_decided=placed + refused + given_up,
        accepted=placed,
        paid=sum(any(payment.answer == "paid" for payment in note.payments) for note in notes.orders),
        refused=refused,
        given_up=given_up,
        never_started=notes.count(NOTHING),
        cancelled=sum(note.cancelled for note in notes.orders),
        refunds_due=answers["refund due"],
        requests=workload.counter.tries,
        requests_sent_again=workload.counter.failures,
        own_exits=sum(child.deaths for child in shop.children),
        kills=injector.kills,
        wipes=injector.wipes,
        faults=dict(injector.injected),
        dropped={name: count for name, count in sorted(dropped.items()) if name != "bytes"},
    )
