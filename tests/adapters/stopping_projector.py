"""A projector of `goods` that stops, or is killed, at the worst moments of a batch; the tests run it.

    python -m tests.adapters.stopping_projector DSN stop|kill folding|working|reading

It prints the moment in which it goes, in seconds of the monotonic clock that all processes share. One that
was stopped and is continued goes on with its batch, and prints what became of it.
"""

import os
import signal
import sys
import threading
import time
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import psycopg
from psycopg import conninfo

from adapters.postgres_projection import PostgresProjection
from adapters.postgres_projection_store import PostgresProjectionStore
from domain.recorded import Recorded
from projections.goods import GOODS, TABLE
from projections.projection import Rows

SLOW_SETTING = "tillroll.slow"
SLOW = f"""
CREATE FUNCTION read.slow() RETURNS trigger LANGUAGE plpgsql AS $$ BEGIN
    IF current_setting('{SLOW_SETTING}', true) = 'on' THEN PERFORM pg_sleep(60); END IF;
    RETURN new;
END $$;
CREATE TRIGGER slow BEFORE INSERT ON read.goods FOR EACH ROW EXECUTE FUNCTION read.slow();
"""
WORKS = "SELECT FROM pg_stat_activity WHERE datname = current_database() AND wait_event = 'PgSleep'"
MORE_THAN_A_SOCKET_HOLDS = b"SELECT repeat('x', 1000) FROM generate_series(1, 20000)"
ON_ITS_WAY_S = 0.3


class Going:
    """Goes once, by the signal it was told."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._has_gone = False

    def now(self) -> None:
        if not self._has_gone:
            self._has_gone = True
            print(time.monotonic(), flush=True)
            os.kill(os.getpid(), self._number)


def folding(dsn: str, going: Going) -> None:
    """In the middle of its own work: the database waits for the next statement."""

    def evolve(rows: Any, recorded: Recorded) -> Rows:
        going.now()
        return TABLE.evolve(rows, recorded)

    projection = replace(GOODS, tables=(replace(TABLE, evolve=evolve),))
    with PostgresProjection(projection, log_dsn=dsn, read_dsn=dsn) as running:
        told(running.advance)


def working(dsn: str, going: Going) -> None:
    """While the database works for it, for a minute if it is let."""
    threading.Thread(target=_go_when_it_works, args=(dsn, going)).start()
    slow = conninfo.make_conninfo(dsn, options=f"-c {SLOW_SETTING}=on")
    with PostgresProjection(GOODS, log_dsn=slow, read_dsn=slow) as running:
        told(running.advance)


def _go_when_it_works(dsn: str, going: Going) -> None:
    with psycopg.connect(dsn, autocommit=True) as connection:
        while not connection.execute(WORKS).fetchall():
            time.sleep(0.01)
        going.now()


def reading(dsn: str, going: Going) -> None:
    """While the database hands it rows: no timeout ends that, as long as the connection lives."""
    store = PostgresProjectionStore(GOODS, log_dsn=dsn, read_dsn=dsn, schema="read")

    def read() -> int:
        with store.transaction():
            store.take_position()
            store._read.pgconn.send_query(MORE_THAN_A_SOCKET_HOLDS)
            store._read.pgconn.flush()
            time.sleep(ON_ITS_WAY_S)
            going.now()
            result = store._read.pgconn.get_result()
            return 0 if result is None else result.ntuples

    told(read)


def told(batch: Callable[[], int]) -> None:
    try:
        print(batch(), flush=True)
    except psycopg.Error as error:
        print(type(error).__name__, flush=True)


if __name__ == "__main__":
    _, address, signal_name, moment = sys.argv
    {"folding": folding, "working": working, "reading": reading}[moment](
        address, Going({"stop": signal.SIGSTOP, "kill": signal.SIGKILL}[signal_name])
    )
