"""What an operator can put right; everything else is a bug and may show where it is.

Errors are known by their names: loading all that may raise them takes seconds, and one that was raised has
been loaded.
"""

from collections.abc import Collection
from typing import Final

OPERATOR_ERRORS: Final = frozenset(
    {
        "adapters.api_client.BadApiAddress",
        "adapters.data_folder.NotRunning",
        "adapters.grounds.CannotStart",
        "adapters.key_errors.KeyFileError",
        "adapters.log_errors.LogUnreadable",
        "adapters.postgres_migrate.NoDatabase",
        "adapters.retail_file.RetailFileError",
        "adapters.retail_till.LoadError",
        "adapters.saga_desk.CannotAct",
        "adapters.sealing.CannotUnseal",
        "adapters.server_account.EmbeddedServerError",
        "adapters.settings.SettingError",
        "psycopg.Error",
    }
)
"""They end any command with exit code 1."""

COULD_NOT: Final = frozenset(
    {
        "adapters.audit_run.CannotAudit",
        "adapters.cli_reading.BadArgument",
        "adapters.data_folder.NotRunning",
        "adapters.log_errors.LogUnreadable",
        "adapters.log_moments.NoSuchMoment",
        "adapters.read_sets.CannotRebuild",
        "adapters.settings.SettingError",
    }
)
"""They keep a command that looks something up from running: exit code 2."""


def is_one_of(error: BaseException, names: Collection[str]) -> bool:
    """Whether its class, or one that it descends from, has one of these names."""
    return any(f"{kind.__module__}.{kind.__qualname__}" in names for kind in type(error).__mro__)


def line_of(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
