"""A new key for wrapping persons' keys: put in the file, every key wrapped anew, the old one dropped.

An erased person's wrapped key stays in backups of the database for as long as those are kept. Once the key
that wrapped it is nowhere any more, such a backup says nothing about the person either.

May be stopped anywhere and run again: whatever the file says is still to be done is done.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

import psycopg
from psycopg import Connection, sql

from adapters import private_file
from adapters.key_errors import KeyFileError
from adapters.pii_key_file import PiiKeys, read_pii_keys, write_pii_keys
from adapters.sealing import Wrapping, new_key, wrapping_name
from domain import streams

BATCH: Final = 1_000


@dataclass(frozen=True, slots=True)
class _Kept:
    """A table of wrapped keys. `about`: whose key is in the row that has this number."""

    table: str
    number: str
    about: Any


_TABLES: Final = (
    _Kept("personal_keys", "user_id", streams.user),
    _Kept("kept_keys", "order_id", lambda number: streams.order(str(number))),
)


def add_wrapping_key(path: Path) -> str:
    """The name of the key that wraps from now on: a new one, or that of a rotation that was not finished.

    Raises KeyFileError.
    """
    keys = read_pii_keys(path)
    if len(keys.wrapping) == 1:
        keys = PiiKeys(keys.email, (new_key(), *keys.wrapping))
        write_pii_keys(path, keys)
    return wrapping_name(keys.wrapping[0])


def wrap_anew(path: Path, dsn: str) -> int:
    """Wraps with the file's first key whatever another has wrapped; how many keys that were.

    Raises KeyFileError, CannotUnseal, psycopg.Error.
    """
    wrapping = Wrapping(read_pii_keys(path).wrapping)
    with psycopg.connect(dsn, autocommit=True) as conn:
        return sum(_wrap_table(conn, wrapping, kept) for kept in _TABLES)


def drop_old_keys(path: Path, dsn: str) -> int:
    """Leaves the first key alone in the file; how many were dropped. Raises KeyFileError, psycopg.Error.

    A key that some row still needs is not dropped.
    """
    keys = read_pii_keys(path)
    with psycopg.connect(dsn, autocommit=True) as conn:
        needed = sum(_others(conn, Wrapping(keys.wrapping), kept) for kept in _TABLES)
    if needed:
        why = f"{needed} keys of persons are still wrapped with an old key; run it again"
        raise KeyFileError(f"{path}: {why}")
    write_pii_keys(path, PiiKeys(keys.email, keys.wrapping[:1]))
    return len(keys.wrapping) - 1


def rotate(path: Path, dsn: str) -> tuple[str, int]:
    """All of it: the new key's name, and how many keys it wraps. Raises what the steps raise."""
    try:
        with private_file.folder_locked(path):
            name = add_wrapping_key(path)
            # Once before the database is told: a file that does not fit is found out here, and blocks nobody.
            count = wrap_anew(path, dsn)
            require(name, dsn)
            count += wrap_anew(path, dsn)
            drop_old_keys(path, dsn)
            return name, count
    except BlockingIOError:
        raise KeyFileError(f"{path}: another rotation is under way") from None
    except OSError as error:
        raise KeyFileError(f"{path}: {error.strerror}") from error


def require(name: str, dsn: str) -> None:
    """From here on the database takes keys that this one has wrapped, and no others.

    Ends when everybody who was storing one has stored it. Raises psycopg.Error.
    """
    with psycopg.connect(dsn, autocommit=True) as conn:
        conn.execute('UPDATE "user".wrapping SET name = %s', (name,))


def _wrap_table(conn: Connection[Any], wrapping: Wrapping, kept: _Kept) -> int:
    select, update = _statement(_SELECT, kept), _statement(_UPDATE, kept)
    after, count = 0, 0
    while rows := conn.execute(select, {"after": after, "limit": BATCH}).fetchall():
        after = rows[-1][0]
        old = [(number, wrapped) for number, wrapped in rows if not wrapping.is_current(wrapped)]
        anew = [_again(wrapping, kept.about(number), wrapped) for number, wrapped in old]
        params = {"numbers": [n for n, _ in old], "old": [w for _, w in old], "new": anew}
        # One that was deleted meanwhile must not come back, so rows are only ever updated.
        count += conn.execute(update, params).rowcount if old else 0
    return count


def _again(wrapping: Wrapping, about: str, wrapped: str) -> str:
    return wrapping.wrap(about, wrapping.unwrap(about, wrapped))


def _others(conn: Connection[Any], wrapping: Wrapping, kept: _Kept) -> int:
    row = conn.execute(_statement(_COUNT, kept), {"current": f"{wrapping.current}.%"}).fetchone()
    assert row is not None
    return int(row[0])


def _statement(text: str, kept: _Kept) -> sql.Composed:
    names = {"table": sql.Identifier("user", kept.table), "number": sql.Identifier(kept.number)}
    return sql.SQL(text).format(**names)


_SELECT: Final = (
    "SELECT {number}, wrapped FROM {table} WHERE {number} > %(after)s ORDER BY {number} LIMIT %(limit)s"
)

_UPDATE: Final = """
    UPDATE {table} AS t SET wrapped = n.new
    FROM unnest(%(numbers)s::bigint[], %(old)s::text[], %(new)s::text[]) AS n(number, old, new)
    WHERE t.{number} = n.number AND t.wrapped = n.old
"""

_COUNT: Final = "SELECT count(*) FROM {table} WHERE wrapped NOT LIKE %(current)s"
