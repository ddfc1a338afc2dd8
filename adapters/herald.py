"""Wakes who follows the logs of one database, after the commits of this process instead of in them.

A transaction that notifies takes a lock of the whole server when it commits, and holds it until it is on the
disk: commits of different logs then wait for each other, and every one of them wakes every listener. A
notification by itself has nothing to bring to the disk. One that is lost, with this process or with its
connection, delays a follower until its own look, once a second.
"""

import asyncio
import logging
from typing import Final

import psycopg

from adapters.error_text import first_line
from adapters.postgres_read_schema import session
from orchestrator.loops import wanted

logger = logging.getLogger(__name__)

CHANNEL: Final = "events"
"""The eventsourcing library's recorder notifies on a channel that has the name of its table."""

TELL_EVERY_S: Final = 0.05
"""The first commit after a quiet moment is told at once, those that follow it together."""

RETRY_AFTER_S: Final = 1.0


class Herald:
    """`tell` is called after a commit, in the event loop in which `run` runs."""

    def __init__(self, dsn: str) -> None:
        self._dsn = dsn
        self._news = asyncio.Event()

    def tell(self) -> None:
        self._news.set()

    async def run(self) -> None:
        """Until cancelled, through any number of broken connections."""
        while wanted():
            try:
                async with await psycopg.AsyncConnection.connect(
                    session(self._dsn), autocommit=True
                ) as connection:
                    await self._tell_by(connection)
            except psycopg.Error as error:
                logger.warning("nobody is told of new events: %s", first_line(error))
                # What could not be told is told on the next connection.
                self._news.set()
                await asyncio.sleep(RETRY_AFTER_S)

    async def _tell_by(self, connection: psycopg.AsyncConnection) -> None:
        while wanted():
            await self._news.wait()
            self._news.clear()
            await connection.execute(f"NOTIFY {CHANNEL}")
            await asyncio.sleep(TELL_EVERY_S)
