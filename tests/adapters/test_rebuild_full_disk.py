"""A disk that gets full in the middle of a rebuild: said clearly, and the live tables are as they were."""

import shutil
import subprocess
import tempfile
from collections.abc import Iterator
from pathlib import Path

import psycopg
import pytest
from psycopg import conninfo
from psycopg.sql import SQL, Identifier, Literal

from adapters.postgres_read_schema import create_read_tables
from adapters.read_rebuild import Teller, rebuild
from adapters.read_sets import NEXT, CannotRebuild, exists
from tests.adapters.read_side import LOGS, busy_shop, catch_up, create_logs, store
from tests.adapters.test_read_rebuild import in_process, rows_in

__all__ = ["in_process"]


@pytest.fixture
def small_disk(postgres_dsn: str) -> Iterator[str]:
    """A tablespace with room for the tables of a set, but not for many rows. Needs the right to mount."""
    folder = Path(tempfile.mkdtemp(prefix="tillroll-small-"))
    mounted = subprocess.run(["mount", "-t", "tmpfs", "-o", "size=300k", "tmpfs", folder], check=False)
    try:
        if mounted.returncode != 0:
            pytest.skip("only root can mount a small disk")
        with psycopg.connect(superuser(postgres_dsn), autocommit=True) as owner:
            row = owner.execute("SHOW data_directory").fetchone()
            assert row is not None
            account = Path(row[0]).stat()
            shutil.chown(folder, account.st_uid, account.st_gid)
            folder.chmod(0o700)
            owner.execute(SQL("CREATE TABLESPACE small LOCATION {}").format(Literal(str(folder))))
            owner.execute("GRANT CREATE ON TABLESPACE small TO tillroll")
            yield "small"
            owner.execute("DROP TABLESPACE small")
    finally:
        if mounted.returncode == 0:
            subprocess.run(["umount", folder], check=True)
        folder.rmdir()


def superuser(dsn: str) -> str:
    return conninfo.make_conninfo(dsn, user="postgres")


@pytest.mark.usefixtures("in_process")
def test_a_full_disk_stops_the_rebuild_and_the_live_tables_stay(fresh_database: str, small_disk: str) -> None:
    dsn = fresh_database
    create_logs(dsn)
    create_read_tables(dsn)
    store(dsn, busy_shop(400))
    catch_up(dsn)
    live = rows_in(dsn, "read")
    name = conninfo.conninfo_to_dict(dsn)["dbname"]
    with psycopg.connect(dsn, autocommit=True) as owner:
        setting = SQL("ALTER DATABASE {} SET default_tablespace = {}")
        owner.execute(setting.format(Identifier(str(name)), Identifier(small_disk)))
    with pytest.raises(CannotRebuild, match="No space left on device; the live read models are as they were"):
        rebuild(dict.fromkeys([*LOGS, "read"], dsn), Teller(), accept=False)

    assert rows_in(dsn, "read") == live
    assert not exists(dsn, NEXT)
    with psycopg.connect(dsn, autocommit=True) as owner:
        owner.execute(SQL("ALTER DATABASE {} RESET default_tablespace").format(Identifier(str(name))))
    assert rebuild(dict.fromkeys([*LOGS, "read"], dsn), Teller(), accept=False).swapped_at is not None
