"""The projector role: the read models, and the watchdogs' list of sagas, kept up with all logs.

The watchlist role keeps the list alone, where no projector runs. Orchestrators stand by to keep it, but there
it takes a fifth of an order's time.
"""

from typing import Final

from adapters.grounds import Grounds
from adapters.postgres_due import SCHEMA as DUE_SCHEMA
from adapters.postgres_projector import Projector
from domain.services import ORDER, SERVICES
from projections.order_saga import ORDER_SAGA

LIST_GAPS_S: Final = ((500, 1.0), (0, 0.05))
"""Seconds between two looks, as a projector's. No saga is woken within the first second of a step, and in a
busy shop most have left theirs by then: the list is written once for each, not twice."""


def add_projector(grounds: Grounds) -> None:
    """It ends by itself, with its batches committed, once `stopping` is set."""
    logs = {service.log: grounds.dsn(service.log) for service in SERVICES}
    grounds.tasks.append(Projector(logs, grounds.dsn("read")).run(grounds.stopping))
    add_watchlist(grounds)


def add_watchlist(grounds: Grounds) -> None:
    """It ends as a projector does."""
    grounds.tasks.append(saga_projector(grounds.dsn(ORDER.log)).run(grounds.stopping))


def saga_projector(dsn: str, *, stands_by: bool = False) -> Projector:
    """Of the watchdogs' list, which is kept beside the order log. `stands_by`: see Projector."""
    return Projector(
        {ORDER.log: dsn},
        dsn,
        schema=DUE_SCHEMA,
        projections=(ORDER_SAGA,),
        stands_by=stands_by,
        gaps_s=LIST_GAPS_S,
    )
