"""Every command of one log decided once more, by the rules of today: a piece of the audit's work."""

from dataclasses import dataclass

from adapters.audit_events import AuditedLog, Hear, told
from adapters.audit_walk import Facts, Walked
from domain.services import SERVICES
from orchestrator.audit import Tally, walk
from orchestrator.redecide import DecidesTheSame


@dataclass(frozen=True, slots=True)
class Decisions:
    """What to read: the events of `log` after `after`, up to the position `until`."""

    log: str
    dsn: str
    until: int
    after: int = 0

    @property
    def name(self) -> str:
        return f"{self.log} decisions"

    def run(self, hear: Hear) -> Walked:
        """Raises LogUnreadable. What is damaged is left out: the check of the whole log tells it."""
        log, tally = AuditedLog(self.dsn, self.log), Tally()
        (service,) = (service for service in SERVICES if service.log == self.log)
        check = DecidesTheSame(service, log.stream_on, after=self.after)
        events = log.read_on(lambda _: None, self.after, self.until)
        tally.add(walk(told(events, self.until, hear), [check]))
        tally.close(check)
        return Walked(tally, Facts())
