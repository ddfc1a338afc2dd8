"""Access tokens that died before they expired: by log-out, a new password, a new role or erasure.

A token is looked up in the user log once, when this process sees it for the first time; after that, what
the log says later is learned here. Nothing has to be remembered for longer than an access token lives.
"""

from collections import OrderedDict
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from adapters.paseto_tokens import ACCESS_TTL_S, CLOCK_SKEW_S, Claims
from domain.recorded import Recorded
from domain.session import SessionEnded
from domain.streams import key_of
from domain.user import LoggedOutElsewhere, LoggedOutEverywhere, Role, RoleGranted, UserErased

MAX_REMEMBERED: Final = 50_000
"""Tokens admitted, and deaths learned, that are remembered."""

_KEEP = timedelta(seconds=ACCESS_TTL_S + CLOCK_SKEW_S)


class Revocations:
    def __init__(self, clock: Callable[[], datetime]) -> None:
        self._clock = clock
        self._admitted: OrderedDict[str, None] = OrderedDict()
        self._dead_sessions: OrderedDict[str, datetime] = OrderedDict()
        self._dead_before: OrderedDict[int, datetime] = OrderedDict()
        self._roles: dict[int, Role] = {}
        self._kept: dict[int, str] = {}

    def is_admitted(self, claims: Claims) -> bool:
        """Whether the log was asked about this token already."""
        return claims.token_id in self._admitted

    def note_admitted(self, claims: Claims) -> None:
        self._admitted[claims.token_id] = None
        if len(self._admitted) > MAX_REMEMBERED:
            self._admitted.popitem(last=False)

    def is_dead(self, claims: Claims) -> bool:
        if claims.session_id in self._dead_sessions:
            return True
        at = self._dead_before.get(claims.user_id)
        if at is None:
            return False
        if claims.issued_at <= at and self._kept.get(claims.user_id) != claims.session_id:
            return True
        # A refresh that met the grant half way made a token of the old role after the grant's own time.
        return self._roles.get(claims.user_id, claims.role) != claims.role

    def learn(self, recorded: Recorded) -> None:
        """Safe to run twice, and late: an event says the same every time."""
        event, key = recorded.event, key_of(recorded.originator_id)
        match event:
            case SessionEnded():
                self._dead_sessions[key] = recorded.cause.at
            case LoggedOutEverywhere(at):
                self._die_before(int(key), at)
            case LoggedOutElsewhere(at, kept_session):
                self._die_before(int(key), at, kept_session)
            case UserErased():
                self._die_before(int(key), recorded.cause.at)
            case RoleGranted(role):
                self._roles[int(key)] = Role(role)
                self._die_before(int(key), recorded.cause.at)
            case _:
                return
        self._trim()

    def _die_before(self, user_id: int, at: datetime, kept_session: str = "") -> None:
        known = self._dead_before.pop(user_id, at)
        self._dead_before[user_id] = max(at, known)
        if at >= known:
            self._kept.pop(user_id, None)
            if kept_session:
                self._kept[user_id] = kept_session

    def _trim(self) -> None:
        """Drops what has expired. When too much is left, every token is looked up again instead."""
        oldest = self._clock() - _KEEP
        _drop_until(self._dead_sessions, oldest)
        _drop_until(self._dead_before, oldest)
        self._roles = {user_id: role for user_id, role in self._roles.items() if user_id in self._dead_before}
        self._kept = {user_id: kept for user_id, kept in self._kept.items() if user_id in self._dead_before}
        if len(self._dead_sessions) + len(self._dead_before) > MAX_REMEMBERED:
            self._admitted.clear()
            self._dead_sessions.clear()
            self._dead_before.clear()
            self._roles.clear()
            self._kept.clear()


def _drop_until(deaths: OrderedDict[str, datetime] | OrderedDict[int, datetime], oldest: datetime) -> None:
    while deaths and next(iter(deaths.values())) < oldest:
        deaths.popitem(last=False)
