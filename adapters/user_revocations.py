"""Access tokens that the log was asked about, until it says something that may end them.

A token is looked up in the user log when this process sees it for the first time. After that it is trusted
until the log tells of its session or its user: then it is looked up again. So only the log decides, in its
own order, and no clock is compared with another.
"""

from collections import OrderedDict
from typing import Final

from adapters.paseto_tokens import Claims
from domain import streams
from domain.recorded import Recorded
from domain.session import SessionEnded
from domain.user import LoggedOutElsewhere, LoggedOutEverywhere, RoleGranted, UserErased

MAX_REMEMBERED: Final = 50_000
"""Tokens; those looked up longest ago go first."""

ENDS: Final = (SessionEnded, LoggedOutEverywhere, LoggedOutElsewhere, RoleGranted, UserErased)
"""What may end tokens: those of the session or of the user in whose stream it stands."""


class Revocations:
    def __init__(self) -> None:
        self._admitted: OrderedDict[str, tuple[str, str]] = OrderedDict()
        self._by_stream: dict[str, set[str]] = {}
        self._ends = 0

    @property
    def ends(self) -> int:
        """How often something was heard that ends tokens: a look-up that began before proves nothing."""
        return self._ends

    def is_admitted(self, claims: Claims) -> bool:
        return claims.token_id in self._admitted

    def note_admitted(self, claims: Claims, *, ends: int) -> None:
        """`ends`: as it was when the log was asked."""
        if ends != self._ends:
            return
        own = (streams.session(claims.session_id), streams.user(claims.user_id))
        self._admitted[claims.token_id] = own
        for stream in own:
            self._by_stream.setdefault(stream, set()).add(claims.token_id)
        if len(self._admitted) > MAX_REMEMBERED:
            self._drop(next(iter(self._admitted)))

    def learn(self, recorded: Recorded) -> None:
        """Safe to run twice, and late: the log is only asked once more."""
        if isinstance(recorded.event, ENDS):
            self._ends += 1
            for token_id in list(self._by_stream.get(recorded.originator_id, ())):
                self._drop(token_id)

    def _drop(self, token_id: str) -> None:
        for stream in self._admitted.pop(token_id):
            others = self._by_stream[stream]
            others.discard(token_id)
            if not others:
                del self._by_stream[stream]
