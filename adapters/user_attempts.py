"""Failed log-ins: after a few the account waits, twice as long each time. In memory, per process."""

from collections import OrderedDict
from dataclasses import dataclass
from datetime import datetime, timedelta
from math import ceil
from typing import Final

from domain.refusals import Busy

FREE_FAILURES: Final = 5
FIRST_DELAY_S: Final = 1
LONGEST_DELAY_S: Final = 900
MAX_ACCOUNTS: Final = 100_000
"""Accounts remembered; the one that failed longest ago is forgotten first."""


class TooManyAttempts(Busy):
    """Too many failed attempts for this account; wait before the next one."""

    name = "too-many-attempts"


@dataclass(frozen=True, slots=True)
class _Failures:
    count: int
    blocked_until: datetime


class Attempts:
    """`account`: any text that names it, known to the shop or not, so a delay tells nobody which."""

    def __init__(self) -> None:
        self._failures: OrderedDict[str, _Failures] = OrderedDict()

    def check(self, account: str, now: datetime) -> None:
        """Raises TooManyAttempts while the account has to wait."""
        failures = self._failures.get(account)
        if failures is not None and now < failures.blocked_until:
            wait_s = (failures.blocked_until - now).total_seconds()
            raise TooManyAttempts(retry_after_s=ceil(wait_s))

    def failed(self, account: str, now: datetime) -> None:
        before = self._failures.pop(account, None)
        count = 1 if before is None else before.count + 1
        self._failures[account] = _Failures(count, now + timedelta(seconds=_delay_s(count)))
        if len(self._failures) > MAX_ACCOUNTS:
            self._failures.popitem(last=False)

    def succeeded(self, account: str) -> None:
        self._failures.pop(account, None)


def _delay_s(count: int) -> int:
    """Seconds to wait after the count-th failure in a row."""
    if count < FREE_FAILURES:
        return 0
    doublings = min(count - FREE_FAILURES, LONGEST_DELAY_S.bit_length())
    return min(FIRST_DELAY_S << doublings, LONGEST_DELAY_S)
