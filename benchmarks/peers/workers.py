"""Processes that call a peer: begun together once all are ready, and none is left behind."""

import os
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Final

from adapters.processes import dying_with_us
from benchmarks.peers.callers import READY, WARM_UP_S, Called, read_called

END_LIMIT_S: Final = 10.0
LATE_LIMIT_S: Final = 60.0

Worker = subprocess.Popen[str]


@contextmanager
def worker(command: Sequence[str], handed_over: Sequence[int] = ()) -> Iterator[Worker]:
    """A process that has said it is ready; it is ended when the block is left.

    It ends with us, too. `handed_over`: open files it inherits. Raises AssertionError when it ends early.
    """
    whole = [*dying_with_us(signal.SIGKILL, os.geteuid(), os.getegid()), *command]
    pipe = subprocess.PIPE
    with subprocess.Popen(whole, pass_fds=handed_over, stdin=pipe, stdout=pipe, text=True) as process:
        try:
            assert process.stdout is not None
            assert process.stdout.readline().strip() == READY, f"ended before it was ready: {command}"
            yield process
        finally:
            _end(process)


def _end(process: Worker) -> None:
    process.terminate()
    try:
        process.wait(END_LIMIT_S)
    except subprocess.TimeoutExpired:
        process.kill()


@contextmanager
def workers(commands: Sequence[Sequence[str]]) -> Iterator[list[Worker]]:
    with ExitStack() as stack:
        yield [stack.enter_context(worker(command)) for command in commands]


def called_by(processes: Sequence[Worker], seconds: float) -> Called:
    """Tells all to begin and waits for what they say. Raises TimeoutExpired when one is stuck."""
    for process in processes:
        assert process.stdin is not None
        process.stdin.write("begin\n")
        process.stdin.flush()
    patience = WARM_UP_S + seconds + LATE_LIMIT_S
    return read_called([process.communicate(timeout=patience)[0] for process in processes])
