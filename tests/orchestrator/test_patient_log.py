"""The patient log: an answer that was lost is looked up, and only somebody else's event is a conflict."""

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

import pytest

from orchestrator.log import Log, LogConflict, LogUnavailable, Since, Stored
from orchestrator.patient_log import PatientLog

OpenLog = Callable[[], Log]


class ScriptedLog:
    """A real log; each call first does what its script says next."""

    def __init__(self, log: Log) -> None:
        self.log = log
        self.script: dict[str, list[Exception | None]] = {"append": [], "load": [], "find": []}
        self.stores_first = False
        self.calls: list[str] = []

    def _play(self, call: str) -> None:
        self.calls.append(call)
        if self.script[call] and (failure := self.script[call].pop(0)):
            raise failure

    async def try_append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int] | None:
        return None

    def append(self, events: Sequence[Stored], expect: Mapping[str, int]) -> Sequence[int]:
        positions: Sequence[int] = self.log.append(events, expect) if self.stores_first else ()
        self._play("append")
        return positions or self.log.append(events, expect)

    def load(self, since: Since) -> Sequence[Stored]:
        self._play("load")
        return self.log.load(since)

    def find(self, event: Stored) -> int | None:
        self._play("find")
        return self.log.find(event)

    def changed(self, after: int | None) -> tuple[int, Collection[str]]:
        return self.log.changed(after)


def event(version: int, state: bytes = b"mine", stream: str = "stock-1") -> Stored:
    return Stored(stream, version, "StockSet", state)


GONE = LogUnavailable("gone")
MINE = [event(1), event(2), event(1, stream="sale-7")]


@pytest.fixture
def log(open_log: OpenLog, short_pauses: int) -> ScriptedLog:
    assert short_pauses == 3
    return ScriptedLog(open_log())


@pytest.fixture
def patient(log: ScriptedLog) -> PatientLog:
    return PatientLog(log, "inventory")


def stored(log: ScriptedLog) -> list[Any]:
    return [one.state for one in log.log.load({"stock-1": 0, "sale-7": 0})]


def test_an_answer_is_passed_on(log: ScriptedLog, patient: PatientLog) -> None:
    assert list(patient.append(MINE, {"stock-2": 0})) == [1, 2, 3]
    assert patient.load({"stock-1": 1}) == [MINE[1]]
    assert log.calls == ["append", "load"]


def test_a_log_that_comes_back_is_asked_again(log: ScriptedLog, patient: PatientLog) -> None:
    log.script["append"] = [GONE, GONE]

    assert list(patient.append(MINE, {})) == [1, 2, 3]
    assert log.calls == ["append", "find", "append", "find", "append"]


def test_a_lost_answer_is_found(log: ScriptedLog, patient: PatientLog) -> None:
    log.stores_first = True
    log.script["append"] = [GONE]

    assert list(patient.append(MINE, {})) == [1, 2, 3]
    assert log.calls == ["append", "find", "find"]
    assert stored(log) == [b"mine"] * 3


def test_a_lost_answer_that_then_looks_like_a_conflict_is_found(
    log: ScriptedLog, patient: PatientLog
) -> None:
    """The first append was still under way when it was looked for, so it was sent again."""
    log.log.append(MINE, {})

    assert list(patient.append(MINE, {})) == [1, 2, 3]
    assert stored(log) == [b"mine"] * 3


def test_somebody_elses_event_is_a_conflict(log: ScriptedLog, patient: PatientLog) -> None:
    log.log.append([event(1, b"theirs")], {})

    with pytest.raises(LogConflict):
        patient.append(MINE, {})
    assert stored(log) == [b"theirs"]


def test_a_stream_that_was_read_and_moved_on_is_a_conflict(log: ScriptedLog, patient: PatientLog) -> None:
    log.log.append([event(1, b"theirs")], {})

    with pytest.raises(LogConflict):
        patient.append([event(1, stream="sale-7")], {"stock-1": 0})
    assert stored(log) == [b"theirs"]


@pytest.mark.parametrize("call", ["append", "load"])
def test_a_log_that_stays_away_is_given_up(log: ScriptedLog, patient: PatientLog, call: str) -> None:
    log.script[call] = [GONE] * 100

    with pytest.raises(LogUnavailable):
        (patient.append(MINE, {}) if call == "append" else patient.load({"stock-1": 0}))
    assert 3 <= log.calls.count(call) <= 4


def test_a_log_that_cannot_even_say_what_it_has_is_given_up(log: ScriptedLog, patient: PatientLog) -> None:
    log.script["append"], log.script["find"] = [GONE], [GONE] * 100

    with pytest.raises(LogUnavailable):
        patient.append(MINE, {})


def test_another_error_is_not_tried_again(log: ScriptedLog, patient: PatientLog) -> None:
    log.script["load"] = [ValueError("a bug")]

    with pytest.raises(ValueError, match="a bug"):
        patient.load({"stock-1": 0})
    assert log.calls == ["load"]
