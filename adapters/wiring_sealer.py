"""The sealer role: every log sealed about once a second."""

from adapters.grounds import CannotStart, Grounds
from adapters.ids import utc_now
from adapters.key_errors import KeyFileError
from adapters.seal_key import seal_keys
from adapters.sealer import Sealer
from domain.services import SERVICES


def add_sealer(grounds: Grounds) -> None:
    """Raises CannotStart for a key that cannot be read."""
    try:
        keys = seal_keys(grounds.settings)
        assert keys.key_id
    except KeyFileError as error:
        raise CannotStart(str(error)) from error
    logs = {service.log: grounds.dsn(service.log) for service in SERVICES}
    grounds.tasks.append(Sealer(logs, keys, grounds.settings.data, utc_now).run())
