"""The bookkeeper: turns a batch of commands into one commit.

It loads the streams it does not know in one query, decides each command in turn, appends all events in one
transaction, and only then replaces its cached states. These are only ever a guess: what a batch writes is
checked by the primary key, what it only reads in the same commit; a wrong guess is dropped and decided again.

A batch whose streams are all in memory is decided and committed where it is asked for, in the event loop,
which goes on meanwhile: a thread and the loop take turns in Python, which was an eighth of an order's time.
What must be read first, and what did not work at once, is for the ledger's thread: it may wait there.
"""

import logging
from collections import deque
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from typing import Any, Final, NamedTuple

from domain.recorded import Cause, Recorded, made
from domain.refusals import Unavailable
from domain.service import Rule, Service, States, Written, begins_none, reads_no_more
from orchestrator.batch import Batch, Committed, Decided, Draft, Encode, Folds, Versioned
from orchestrator.log import LogConflict, LogUnavailable, Stored
from orchestrator.patient_log import PatientLog

logger = logging.getLogger(__name__)

MAX_STATES: Final = 200_000
"""Folded states kept in memory; the least recently written go first."""

MAX_BRIEF_STATES: Final = 40_000
"""Those among them that are soon done with. By the thousand a second they must not push the others out."""

FORGOTTEN_AT_ONCE: Final = 2_000
"""A dict that was emptied from its front is slow to say what is first in it now."""

MAX_CONFLICTS: Final = 20
"""Decisions of one batch before its callers are told that the log is too busy."""


@dataclass(frozen=True, slots=True)
class Codec:
    """How a recorded event becomes the library's stored event, and back."""

    encode: Encode
    decode: Callable[[Stored], Recorded]


class Request(NamedTuple):
    """A command, its cause, its rule and the streams this reads; or, without a rule, `streams` to read."""

    command: Any = None
    cause: Cause | None = None
    rule: Rule | None = None
    reads: Sequence[str] = ()
    streams: tuple[str, ...] = ()


class Done(NamedTuple):
    """What a command did. `states`: every stream it read, after it. `position`: of its last event.

    `position` is None when nothing was recorded, because it had been done before.
    """

    written: Written
    states: States
    position: int | None


Answer = Done | States | Exception
"""To one request: what it did, what it wanted to read, or a refusal."""


class Bookkeeper:
    def __init__(self, service: Service, log: PatientLog, codec: Codec) -> None:
        self.service = service
        self._log = log
        self._codec = codec
        # Those written last are at the end.
        self._known: dict[str, Versioned] = {}
        self._folds = Folds(service)
        self._brief = frozenset(type(each.initial) for each in service.categories.values() if each.is_brief)
        self._brief_names: deque[str] = deque()

    def peek(self, stream: str) -> Any | None:
        """The state as last seen, or None. May be called from any thread."""
        known = self._known.get(stream)
        return None if known is None else known[1]

    def draft(self, requests: Sequence[Request], under_way: Draft | None = None) -> Draft | None:
        """Decides from memory alone. None when the log has to be read for it, or when this would rest on what
        a draft that is being committed writes."""
        if any(request.rule is None for request in requests):
            return None
        self._guess(requests)
        unsure = {} if under_way is None else under_way.work.after
        for needed in (_reads(requests), self._read_then(requests)):
            names = list(needed)
            if not self._knows(names) or not unsure.keys().isdisjoint(names):
                return None
        return self._decided(requests)

    async def try_commit(self, draft: Draft) -> Committed | None:
        """Commits it without a thread; None when that is not known to have worked: `commit` tells."""
        stored = draft.work.stored
        positions = await self._log.try_append(stored, draft.expect) if stored else None
        return None if positions is None else Committed(draft, positions)

    def commit(self, requests: Sequence[Request], draft: Draft | None = None) -> Committed:
        """Commits the draft, or decides until a commit holds. Blocks."""
        for attempt in range(MAX_CONFLICTS):
            try:
                if draft is None:
                    draft = self._decide(requests, guess=attempt == 0)
                return Committed(draft, self._commit(draft))
            except LogConflict:
                draft = None
            except LogUnavailable as error:
                logger.warning("the %s log cannot be reached: %s", self.service.log, error)
                return Committed()
        logger.warning("the %s ledger gave up after %d conflicts", self.service.log, MAX_CONFLICTS)
        return Committed()

    def answers(self, requests: Sequence[Request], committed: Committed) -> Sequence[Answer]:
        """To every request, in order, whatever happened to the log."""
        if committed.draft is None:
            return [Unavailable() for _ in requests]
        positions = committed.positions
        answers: list[Answer] = []
        for request, outcome in zip(requests, committed.draft.decided, strict=True):
            written, states, first, refusal = outcome
            if refusal is not None:
                answers.append(refusal)
            elif request.rule is None:
                answers.append(states)
            else:
                last = positions[first + len(written) - 1] if written else None
                answers.append(made(Done, (written, states, last)))
        return answers

    # deciding

    def _decide(self, requests: Sequence[Request], *, guess: bool) -> Draft:
        """`guess`: streams that a command usually begins are taken to be empty, unasked."""
        if guess:
            self._guess(requests)
        self._load(
            _reads(requests),
            fresh=[name for request in requests if request.streams for name in request.streams],
        )
        self._load(self._read_then(requests))
        return self._decided(requests)

    def _decided(self, requests: Iterable[Request]) -> Draft:
        work = Batch(self._known, self._folds, self._codec.encode)
        decided = [_attempt(work, request) for request in requests]
        return Draft(decided, work, work.only_read())

    def _guess(self, requests: Iterable[Request]) -> None:
        """A wrong guess is found by the commit, like every other, and is not made twice in one batch."""
        known = self._known
        for request in requests:
            rule = request.rule
            if rule is not None and rule.begins is not begins_none:
                for name in rule.begins(request.command):
                    if name not in known:
                        known[name] = (0, self.service.initial(name))

    def _read_then(self, requests: Iterable[Request]) -> Iterator[str]:
        """What rules ask for once they have seen the first streams."""
        states = _StatesOf(self._known)
        for request in requests:
            if request.rule is not None and request.rule.reads_then is not reads_no_more:
                yield from request.rule.reads_then(request.command, states)

    def _knows(self, names: Iterable[str]) -> bool:
        return all(map(self._known.__contains__, names))

    def _load(self, names: Iterable[str], fresh: Iterable[str] = ()) -> None:
        """Brings streams into memory: those not known, and of the `fresh` ones what is new in the log."""
        since = {name: 0 for name in names if name not in self._known}
        for name in fresh:
            known = self._known.get(name)
            since[name] = 0 if known is None else known[0]
        if since:
            self._catch_up(since)

    def _catch_up(self, since: Mapping[str, int]) -> bool:
        """Folds what the log has after the given versions; says whether there was anything."""
        news = self._log.load({name: self._after(name, version) for name, version in since.items()})
        for name in since:
            if name not in self._known:
                self._known[name] = (0, self.service.initial(name))
        for stored in news:
            self._fold(self._codec.decode(stored))
        return bool(news)

    def _after(self, name: str, version: int) -> int | None:
        """What to ask the log for: of a stream that nobody has read, its last event where that says all."""
        return None if version == 0 and self.service.category_of(name).from_last is not None else version

    def _fold(self, recorded: Recorded) -> None:
        stream, version = recorded.originator_id, recorded.originator_version
        (known, state), category = self._known[stream], self.service.category_of(stream)
        if version == known + 1:
            self._known[stream] = (version, category.evolve(state, recorded.event))
        elif version > known and category.from_last is not None:
            self._known[stream] = (version, category.from_last(version, recorded.event))

    # committing

    def _commit(self, draft: Draft) -> Sequence[int]:
        """Positions of the batch's events. Raises LogConflict when a state it was based on is outdated."""
        work, expect = draft.work, draft.expect
        if not work.stored:
            if expect and self._catch_up(expect):
                raise LogConflict
            return ()
        try:
            return self._log.append(work.stored, expect)
        except (LogConflict, LogUnavailable):
            self._forget((*work.after, *expect))
            raise

    def _forget(self, names: Iterable[str]) -> None:
        for name in names:
            self._known.pop(name, None)

    # remembering

    def remember(self, committed: Committed) -> None:
        """What a batch left. The brief ones have their own way out."""
        self._forget_the_oldest()
        if committed.draft is None:
            return
        known, brief, brief_names = self._known, self._brief, self._brief_names
        for name, after in committed.draft.work.after.items():
            if type(after[1]) in brief:
                brief_names.append(name)
            else:
                known.pop(name, None)
            known[name] = after

    def _forget_the_oldest(self) -> None:
        known = self._known
        while len(self._brief_names) > MAX_BRIEF_STATES:
            known.pop(self._brief_names.popleft(), None)
        while len(known) > MAX_STATES:
            for name in list(islice(known, FORGOTTEN_AT_ONCE)):
                del known[name]


class _StatesOf(Mapping[str, Any]):
    """States without their versions, looked up only where a rule asks."""

    def __init__(self, known: Mapping[str, Versioned]) -> None:
        self._known = known

    def __getitem__(self, name: str) -> Any:
        return self._known[name][1]

    def __iter__(self) -> Iterator[str]:
        return iter(self._known)

    def __len__(self) -> int:
        return len(self._known)


def _reads(requests: Iterable[Request]) -> Iterator[str]:
    """What rules ask for at first."""
    return chain.from_iterable([request.reads for request in requests])


def _attempt(work: Batch, request: Request) -> Decided:
    """A bug in deciding one command is that caller's alone."""
    command, cause, rule, reads, streams = request
    if rule is None or cause is None:
        return work.seen(streams)
    try:
        return work.decide(rule, command, cause, reads)
    except Exception as error:
        logger.exception("could not decide %s", type(command).__name__)
        return Decided((), {}, refusal=error)
