"""Brings the logs' schemas up to date, step by step. Safe to run twice, and beside running processes.

A log notes which steps its schema has taken, so one that is up to date is looked at and not touched. A step
is one transaction, noted in it: a migration that dies half way goes on with the next step. docs/evolution.md
says how to add one.
"""

import logging
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from importlib.resources import files
from importlib.resources.abc import Traversable
from typing import Any, Final

import psycopg
from eventsourcing.persistence import PersistenceError
from psycopg import sql
from psycopg.errors import LockNotAvailable

from adapters.postgres_due import SCHEMA as DUE_SCHEMA
from adapters.postgres_parked import PARKING_LOGS
from adapters.postgres_patience import GIVE_UP_AFTER_S, LocksNotFree, connect, patiently
from adapters.postgres_read_schema import create_read_tables
from adapters.settings import LOGS, Settings
from projections.order_saga import ORDER_SAGA

USER_LOG: Final = "user"
"""Beside it are persons' keys and failed log-ins."""

_FOLDER: Final = files("adapters").joinpath("sql", "migrate")


@dataclass(frozen=True, slots=True)
class Step:
    """`name`: of its file. `logs`: whose schemas it changes; the others only note it, so all count alike."""

    name: str
    logs: Sequence[str]
    folder: Traversable = _FOLDER

    def statements(self, log: str) -> sql.Composed:
        text = self.folder.joinpath(f"{self.name}.sql").read_text(encoding="utf-8")
        return sql.SQL(text).format(schema=sql.Identifier(log))


STEPS: Final = (
    Step("0001_log", LOGS),
    Step("0002_parked", PARKING_LOGS),
    Step("0003_attempts", (USER_LOG,)),
    Step("0004_personal", (USER_LOG,)),
    Step("0005_ids", ("user", "goods")),
    Step("0006_seals", LOGS),
)
"""Append only: what was taken somewhere is never changed. The first five may find what they make, because
databases from before steps were numbered have some of it."""

MIGRATION_LOCK: Final = 7_203_115_500_914_226
"""Advisory lock that lets one migration at a time run in a database."""

_log = logging.getLogger(__name__)


def migrate_log(
    dsn: str, log: str, steps: Sequence[Step] = STEPS, give_up_after_s: float = GIVE_UP_AFTER_S
) -> None:
    """The steps that the log's schema has not taken yet. A newer schema is left as it is, and that is told.

    Raises LocksNotFree when others give no way to a step, psycopg.Error; what was taken before stays.
    """
    with connect(dsn) as conn:
        version = read_version(conn, log)
        if version > len(steps):
            _log.warning("%s", _newer(log, version, len(steps)))
        for number, step in enumerate(steps[version:], version + 1):
            what = f"the {log} log's schema, step {step.name}"
            take = partial(_take, log=log, number=number, step=step)
            patiently(conn, what, take, give_up_after_s=give_up_after_s)


def read_version(conn: psycopg.Connection, log: str) -> int:
    """How many steps the log's schema has taken; 0 for none, and for one from before steps were noted."""
    has_versions = conn.execute(_statement("has_version", log), {"log": log}).fetchone()
    if has_versions is None or not has_versions[0]:
        return 0
    row = conn.execute(_statement("read_version", log)).fetchone()
    assert row is not None
    return int(row[0])


def _take(conn: psycopg.Connection, *, log: str, number: int, step: Step) -> None:
    """Looks again first: another migration may have been quicker."""
    conn.execute("SELECT pg_advisory_xact_lock(%s)", (MIGRATION_LOCK,))
    version = read_version(conn, log)
    if version >= number:
        return
    if version == 0:
        conn.execute(_statement("version_table", log))
    if log in step.logs:
        conn.execute(step.statements(log))
    conn.execute(_statement("note_version", log), {"version": number, "step": step.name})


def _newer(log: str, version: int, known: int) -> str:
    return (
        f"the {log} log's schema has version {version}, and this Tillroll knows {known}: nothing is changed"
    )


def _statement(name: str, log: str) -> sql.Composed:
    return Step(name, ()).statements(log)


def migrate(settings: Settings) -> None:
    """Every log, the read models, and the orchestrator's list of sagas. Raises NoDatabase, psycopg.Error."""
    for log in LOGS:
        with _named(log):
            migrate_log(_dsn(settings, log), log)
    with _named("read"):
        create_read_tables(_dsn(settings, "read"))
    with _named("order"):
        create_read_tables(_dsn(settings, "order"), DUE_SCHEMA, (ORDER_SAGA,), begins_anew=True)


class NoDatabase(Exception):
    """No setting names a database for a service, or it cannot be used or changed now."""


@contextmanager
def _named(service: str) -> Iterator[None]:
    """A database that cannot be used is named by its setting. Raises NoDatabase."""
    try:
        yield
    except LocksNotFree as error:
        raise NoDatabase(f"{error}; what was done before it stays, run `tillroll migrate` again") from error
    except LockNotAvailable as error:
        raise NoDatabase(
            f"the read tables of {service}: others are in the way, nothing was changed"
        ) from error
    except (psycopg.OperationalError, PersistenceError) as error:
        why = " ".join(str(error).split())[:300]
        raise NoDatabase(f"TILLROLL_DSN or TILLROLL_{service.upper()}_DSN: {why}") from error


def _dsn(settings: Settings, service: Any) -> str:
    dsn = settings.dsn(service)
    if dsn is None:
        raise NoDatabase(f"no database for {service}: set TILLROLL_DSN, or TILLROLL_{service.upper()}_DSN")
    return dsn
