"""What an operator can put right; everything else is a bug and may show where it is."""

from typing import Final

import psycopg

from adapters.api_client import BadApiAddress
from adapters.embedded_servers import NotRunning
from adapters.paseto_key import KeyFileError
from adapters.postgres_log_reader import LogUnreadable
from adapters.postgres_migrate import NoDatabase
from adapters.retail_file import RetailFileError
from adapters.retail_load import LoadError
from adapters.saga_desk import CannotAct
from adapters.sealing import CannotUnseal
from adapters.server_account import EmbeddedServerError
from adapters.settings import SettingError
from adapters.wiring import CannotStart

OPERATOR_ERRORS: Final = (
    SettingError,
    EmbeddedServerError,
    NotRunning,
    KeyFileError,
    NoDatabase,
    CannotStart,
    RetailFileError,
    LoadError,
    BadApiAddress,
    CannotAct,
    CannotUnseal,
    LogUnreadable,
    psycopg.Error,
)


def line_of(error: BaseException) -> str:
    return str(error).strip() or type(error).__name__
