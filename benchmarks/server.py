"""A PostgreSQL of its own for a measurement, on a folder that is gone afterwards."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory

from adapters.embedded_servers import EmbeddedServers
from adapters.postgres_migrate import migrate, migrate_log
from adapters.postgres_read_schema import create_read_tables
from adapters.settings import LOGS, Settings, load_settings, only_embedded


@contextmanager
def bare_server(*, fsync: bool = True) -> Iterator[str]:
    """The address of an empty database. Raises EmbeddedServerError."""
    folder = TemporaryDirectory(prefix="tillroll-bench-", ignore_cleanup_errors=True)
    with folder as path, EmbeddedServers(Path(path) / "data", nats=False, fsync=fsync) as servers:
        dsn = servers.dsn
        assert dsn is not None
        yield dsn


@contextmanager
def own_server() -> Iterator[str]:
    """The address of a database with empty logs and read models, fsync on. Raises EmbeddedServerError."""
    with bare_server() as dsn:
        for log in LOGS:
            migrate_log(dsn, log)
        create_read_tables(dsn)
        yield dsn


@contextmanager
def migrated_settings(purpose: str) -> Iterator[Settings]:
    """Of a shop with servers of its own, fsync on, and all its schemas. Raises EmbeddedServerError."""
    folder = TemporaryDirectory(prefix=f"tillroll-{purpose}-", ignore_cleanup_errors=True)
    with folder as path, EmbeddedServers(Path(path) / "data") as servers:
        addresses = {"shared_dsn": servers.dsn, "nats_url": servers.nats_url}
        settings = only_embedded(load_settings(), Path(path) / "data").model_copy(update=addresses)
        migrate(settings)
        yield settings
