"""Databases of single tests."""

import time
from typing import Any, Final

import psycopg
from psycopg.sql import SQL, Identifier

DROP_WITHIN_S: Final = 30.0


def drop_database(owner: psycopg.Connection[Any], name: str) -> None:
    """Drops it with whoever is still connected; only an owner may not end PostgreSQL's own vacuum there."""
    ends_at = time.monotonic() + DROP_WITHIN_S
    while True:
        try:
            owner.execute(SQL("DROP DATABASE {} WITH (FORCE)").format(Identifier(name)))
        except psycopg.errors.InsufficientPrivilege:
            if time.monotonic() >= ends_at:
                raise
            time.sleep(0.1)
        else:
            return
