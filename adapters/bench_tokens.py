"""What an access token costs: made, checked for the first time, and checked again. One thread, no server."""

import statistics
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from tempfile import TemporaryDirectory
from time import perf_counter_ns
from typing import Final, TypeVar

from adapters.ids import utc_now
from adapters.paseto_tokens import Tokens
from adapters.retail_result import percentile
from adapters.settings import Settings
from adapters.token_key_file import token_key
from domain.user import Role

T = TypeVar("T")

MOST_NEW_US: Final = 250.0
MOST_SEEN_US: Final = 10.0


@dataclass(frozen=True, slots=True)
class TokenFigures:
    """Microseconds of one call. `most_us`: the limit of the median; None where there is none."""

    what: str
    median_us: float
    p99_us: float
    most_us: float | None

    @property
    def holds(self) -> bool | None:
        return None if self.most_us is None else self.median_us < self.most_us


def bench_tokens(count: int, settings: Settings) -> list[TokenFigures]:
    """`count`: tokens, each made once, checked when new and checked again.

    The key stands in a file that is looked at now and then, as in a server.
    """
    with TemporaryDirectory() as folder:
        alone = settings.model_copy(update={"data": Path(folder), "token_key_file": None})
        return _bench(count, Tokens(token_key(alone), environment="bench", clock=utc_now))


def _bench(count: int, tokens: Tokens) -> list[TokenFigures]:
    made: list[str] = []

    def mint(n: int) -> None:
        made.append(tokens.mint(user_id=n + 1, role=Role.CUSTOMER, session_id=f"s{n}").token)

    def verify(token: str) -> None:
        tokens.verify(token)

    minting = _timed(mint, range(count))
    return [
        _figures("made", minting, None),
        _figures("checked, new", _timed(verify, made), MOST_NEW_US),
        _figures("checked, seen before", _timed(verify, made), MOST_SEEN_US),
    ]


def _timed(call: Callable[[T], None], given: Iterable[T]) -> list[float]:
    """Microseconds of each call."""
    times: list[float] = []
    for each in given:
        began = perf_counter_ns()
        call(each)
        times.append((perf_counter_ns() - began) / 1_000)
    return times


def _figures(what: str, times_us: list[float], most_us: float | None) -> TokenFigures:
    return TokenFigures(what, statistics.median(times_us), percentile(sorted(times_us), 99), most_us)
