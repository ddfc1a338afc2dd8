"""The projector role: the read models, and the watchdogs' list of sagas, kept up with all logs."""

from adapters.grounds import Grounds
from adapters.postgres_due import SCHEMA as DUE_SCHEMA
from adapters.postgres_projector import Projector
from domain.services import ORDER, SERVICES
from projections.order_saga import ORDER_SAGA


def add_projector(grounds: Grounds) -> None:
    """It ends by itself, with its batches committed, once `stopping` is set."""
    logs = {service.log: grounds.dsn(service.log) for service in SERVICES}
    grounds.tasks.append(Projector(logs, grounds.dsn("read")).run(grounds.stopping))
    # Orchestrators stand by to keep it themselves: here it takes nothing from those who answer.
    grounds.tasks.append(saga_projector(logs[ORDER.log]).run(grounds.stopping))


def saga_projector(dsn: str, *, stands_by: bool = False) -> Projector:
    """Of the watchdogs' list, which is kept beside the order log. `stands_by`: see Projector."""
    return Projector({ORDER.log: dsn}, dsn, schema=DUE_SCHEMA, projections=(ORDER_SAGA,), stands_by=stands_by)
