"""Waits until every projection of a shop has read all of its log, so that a round begins with no debts."""

import time
from typing import Final

import psycopg

LOOK_EVERY_S: Final = 0.05
LIMIT_S: Final = 300.0

_BEHIND: Final = """
WITH heads (log, head) AS (
    SELECT 'user', coalesce(max(notification_id), 0) FROM "user".events
    UNION ALL SELECT 'goods', coalesce(max(notification_id), 0) FROM goods.events
    UNION ALL SELECT 'inventory', coalesce(max(notification_id), 0) FROM inventory.events
    UNION ALL SELECT 'order', coalesce(max(notification_id), 0) FROM "order".events
), positions (log, position) AS ({positions})
SELECT coalesce(max(head - position), 0) FROM heads JOIN positions USING (log)
"""
WATCHDOG: Final = 'SELECT log, position FROM "order".position'
EVERYBODY: Final = f"{WATCHDOG} UNION ALL SELECT log, position FROM read.position"


def settle(dsn: str, positions: str = EVERYBODY) -> float:
    """Seconds it took. All logs and read models are in one database. Raises TimeoutError."""
    begun = time.monotonic()
    deadline = begun + LIMIT_S
    with psycopg.connect(dsn, autocommit=True) as connection:
        while time.monotonic() < deadline:
            if connection.execute(_BEHIND.format(positions=positions).encode()).fetchone() == (0,):
                return time.monotonic() - begun
            time.sleep(LOOK_EVERY_S)
    raise TimeoutError(f"projections are still behind after {LIMIT_S:.0f} s")
