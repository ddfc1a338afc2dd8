"""The projector role: the read models, kept up with all logs."""

from adapters.grounds import Grounds
from adapters.postgres_projector import Projector
from domain.services import SERVICES


def add_projector(grounds: Grounds) -> None:
    """It ends by itself, with its batches committed, once `stopping` is set."""
    logs = {service.log: grounds.dsn(service.log) for service in SERVICES}
    grounds.tasks.append(Projector(logs, grounds.dsn("read")).run(grounds.stopping))
