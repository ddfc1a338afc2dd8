"""Who used the processors: a process of ours, the servers, and everybody else on the machine."""

import time
from dataclasses import dataclass
from typing import Self

import psutil


@dataclass(frozen=True, slots=True)
class Cpu:
    """Seconds of processor time until `at`; `others`: of processes that are none of ours."""

    at: float
    watched: float
    servers: float
    others: float

    @classmethod
    def now(cls, watched: int) -> Self:
        """`watched`: the process to tell apart, with its children. Those that have ended count as others."""
        ours = psutil.Process()
        tree = [ours, *ours.children(recursive=True)]
        seconds = {process.pid: _seconds(process) for process in tree}
        own = {each.pid for each in psutil.Process(watched).children(recursive=True)} | {watched}
        servers = sum(seconds[each.pid] for each in tree if _is_server(each))
        busy = psutil.cpu_times()
        total = busy.user + busy.nice + busy.system + busy.irq + busy.softirq
        used = sum(seconds[pid] for pid in own if pid in seconds)
        return cls(time.monotonic(), used, servers, total - sum(seconds.values()))


@dataclass(frozen=True, slots=True)
class Cores:
    """Of each, how many processors it kept busy on average."""

    watched: float
    servers: float
    others: float

    @classmethod
    def between(cls, before: Cpu, after: Cpu) -> Self:
        seconds = after.at - before.at
        return cls(
            (after.watched - before.watched) / seconds,
            (after.servers - before.servers) / seconds,
            max(0.0, after.others - before.others) / seconds,
        )


def _seconds(process: psutil.Process) -> float:
    try:
        times = process.cpu_times()
    except psutil.NoSuchProcess:
        return 0.0
    return float(times.user + times.system)


def _is_server(process: psutil.Process) -> bool:
    try:
        return process.name() in {"postgres", "nats-server"}
    except psutil.NoSuchProcess:
        return False
