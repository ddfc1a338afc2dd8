"""Has anyone touched the logs? Every seal and every sealed event, read again; several processes.

What is compared: the chain of seals and their signatures, the newest seals that somebody held elsewhere, and
for each seal the root of what stands in its range now. Nothing is written.
"""

from collections import deque
from collections.abc import Iterable, Iterator, Mapping, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ProcessPoolExecutor, wait
from concurrent.futures.process import BrokenProcessPool
from contextlib import contextmanager
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from adapters.log_errors import LogUnreadable
from adapters.postgres_seals import LOWEST, SealedLog
from adapters.seal_key import SealKeys
from adapters.seal_ranges import Fault, Job, Read, read_again, start
from adapters.worker_pool import Progress, worker_count, workers
from orchestrator.seals import Seal, wrong_in_chain

JOB_EVENTS: Final = 25_000
"""Events that one process reads at a time."""

OWN_CORES: Final = 1
"""This process reads as well as the others."""

AHEAD: Final = 2
"""Jobs that each other process has been given: one it reads, and one for when that is done."""

MAX_FAULTS: Final = 100
"""Kept of each log; all of them are counted."""


@dataclass(frozen=True, slots=True)
class LogVerdict:
    """`events` were read again; `unsealed` stand behind `sealed_until`, the newest seal's last position.

    `skipped`: events before the seal since which it was verified.
    """

    log: str
    seals: int
    events: int
    skipped: int
    sealed_until: int
    sealed_at: datetime | None
    unsealed: int
    found: int
    faults: tuple[Fault, ...]


@dataclass(frozen=True, slots=True)
class Verified:
    logs: tuple[LogVerdict, ...]

    @property
    def is_clean(self) -> bool:
        return not any(verdict.found for verdict in self.logs)


@dataclass(frozen=True, slots=True)
class Held:
    """Seals that somebody kept, by log. `where`: how a finding names whoever kept them."""

    where: str
    seals: Mapping[str, Seal]


@dataclass(slots=True)
class _LogWork:
    """One log while it is verified."""

    log: str
    sealed_until: int = 0
    sealed_at: datetime | None = None
    seals: int = 0
    skipped: int = 0
    unsealed: int = 0
    events: int = 0
    faults: list[Fault] = field(default_factory=list)
    jobs: list[Job] = field(default_factory=list)

    def verdict(self) -> LogVerdict:
        faults = sorted(self.faults, key=lambda fault: (fault.after, fault.seal))
        known = (self.log, self.seals, self.events, self.skipped, self.sealed_until, self.sealed_at)
        return LogVerdict(*known, self.unsealed, len(faults), tuple(faults[:MAX_FAULTS]))


def verify(
    dsns: Mapping[str, str],
    keys: SealKeys,
    held: Sequence[Held] = (),
    since: Mapping[str, Seal] | None = None,
    progress: Progress = lambda *_: None,
) -> Verified:
    """`dsns`: by log. `since`: seals up to which everything was verified before. Raises LogUnreadable."""
    with _helped(dsns, since or {}) as pool:
        works = [_chain(dsn, log, keys, held, (since or {}).get(log)) for log, dsn in dsns.items()]
        jobs = [(work, job) for work in works for job in work.jobs]
        total = sum(seal.covers.count for _, job in jobs for seal in job.seals)
        done = 0
        progress("sealed events", 0, total)
        for work, (events, faults) in _read_all(jobs, pool):
            work.events += events
            work.faults += faults
            done += events
            progress("sealed events", min(done, total), total)
    return Verified(tuple(work.verdict() for work in works))


@contextmanager
def _helped(dsns: Mapping[str, str], since: Mapping[str, Seal]) -> Iterator[ProcessPoolExecutor | None]:
    """Other processes where much is to be read. They start while the seals themselves are looked at."""
    events = 0
    for log, dsn in dsns.items():
        with SealedLog(dsn, log) as sealed:
            events += sealed.head() - (since[log].covers.last if log in since else 0)
    if events <= JOB_EVENTS:
        yield None
        return
    with workers(OWN_CORES) as pool:
        pool.submit(start)
        yield pool


def _read_all(
    jobs: Sequence[tuple[_LogWork, Job]], pool: ProcessPoolExecutor | None
) -> Iterator[tuple[_LogWork, Read]]:
    """In any order. This process reads as well: the others need a while until they have started."""
    waiting = deque(jobs)
    going_on: dict[Future[Read], _LogWork] = {}
    ahead = AHEAD * worker_count(OWN_CORES)
    while waiting or going_on:
        while pool is not None and waiting and len(going_on) < ahead:
            work, job = waiting.popleft()
            going_on[pool.submit(read_again, job)] = work
        if waiting:
            work, job = waiting.popleft()
            yield work, read_again(job)
        for done in wait(going_on, 0 if waiting else None, FIRST_COMPLETED).done:
            yield going_on.pop(done), _result(done)


def _result(future: Future[Read]) -> Read:
    try:
        return future.result()
    except BrokenProcessPool as error:
        raise LogUnreadable("a process that was reading has been killed; is there enough memory?") from error


# the chain of seals


def _chain(dsn: str, log: str, keys: SealKeys, held: Sequence[Held], since: Seal | None) -> _LogWork:
    work = _LogWork(log)
    kept = [(each.where, each.seals[log]) for each in held if log in each.seals]
    with SealedLog(dsn, log) as sealed:
        before: Seal | None = None
        for seal in sealed.seals():
            wrong = wrong_in_chain(before, seal, keys.is_signed)
            if wrong is not None:
                first = before.covers.last if before else 0
                work.faults.append(Fault(log, seal.number, first, seal.covers.last + 1, wrong))
            work.faults += _against(seal, kept)
            _plan(work, dsn, seal, since)
            before = seal
        work.faults += _missing(log, before, kept)
        _end(work, sealed, before)
    return work


def _plan(work: _LogWork, dsn: str, seal: Seal, since: Seal | None) -> None:
    work.seals += 1
    if since is not None and seal.number <= since.number:
        work.skipped += seal.covers.count
        return
    last = work.jobs[-1] if work.jobs else None
    if last is None or sum(each.covers.count for each in last.seals) >= JOB_EVENTS:
        work.jobs.append(Job(dsn, work.log, (seal,)))
    else:
        work.jobs[-1] = Job(dsn, work.log, (*last.seals, seal))


def _against(seal: Seal, kept: Iterable[tuple[str, Seal]]) -> Iterator[Fault]:
    for where, known in kept:
        if known.number == seal.number and known.digest != seal.digest:
            what = f"seal {seal.number} is another one than {where} holds: what it covers was rewritten"
            yield Fault(seal.log, seal.number, seal.covers.first - 1, seal.covers.last + 1, what)


def _missing(log: str, newest: Seal | None, kept: Iterable[tuple[str, Seal]]) -> Iterator[Fault]:
    """The tail of a log can be cut together with its seals: only who held one knows."""
    number, last = (newest.number, newest.covers.last) if newest else (0, 0)
    for where, known in kept:
        if known.number > number:
            what = (
                f"seals {number + 1} to {known.number} are gone, which {where} holds the last of:"
                f" the log once reached position {known.covers.last}"
            )
            yield Fault(log, known.number, last, known.covers.last + 1, what)


def _end(work: _LogWork, sealed: SealedLog, newest: Seal | None) -> None:
    work.sealed_until = newest.covers.last if newest else 0
    work.sealed_at = newest.sealed_at if newest else None
    work.unsealed = sealed.unsealed(work.sealed_until if newest else LOWEST)
    if newest is None and work.unsealed:
        what = f"none of its {work.unsealed:,} events is sealed: run `tillroll seal`, or the sealer role"
        work.faults.append(Fault(work.log, 0, 0, sealed.head() + 1, what))
