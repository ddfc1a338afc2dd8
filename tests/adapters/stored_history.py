"""A shop's history stored in a real database, with its read models brought up to date."""

import psycopg
from psycopg.sql import SQL, Identifier

from adapters.event_codec import encode
from adapters.postgres_projection import PostgresProjection
from adapters.postgres_read_schema import create_read_tables
from domain.recorded import Recorded
from projections import PROJECTIONS
from tests.shop_history import ShopHistory

LOG_TABLE = """
CREATE TABLE {events} (
    originator_id text, originator_version bigint, topic text, state bytea,
    notification_id bigint UNIQUE,
    PRIMARY KEY (originator_id, originator_version))
"""


def store(shop: ShopHistory, dsn: str) -> dict[str, str]:
    """Writes the logs and the read models; returns the address of each."""
    with psycopg.connect(dsn) as connection:
        for log, events in shop.logs.items():
            connection.execute(SQL("CREATE SCHEMA {}").format(Identifier(log)))
            connection.execute(SQL(LOG_TABLE).format(events=Identifier(log, "events")))
            append(connection, log, events)
    create_read_tables(dsn)
    for projection in PROJECTIONS:
        live = PostgresProjection(projection, log_dsn=dsn, read_dsn=dsn)
        while live.advance():
            pass
        live.close()
    return dict.fromkeys((*shop.logs, "read"), dsn)


def append(connection: psycopg.Connection, log: str, events: list[Recorded]) -> None:
    copy = SQL("COPY {} FROM STDIN (FORMAT binary)").format(Identifier(log, "events"))
    with connection.cursor() as cursor, cursor.copy(copy) as rows:
        rows.set_types(("text", "int8", "text", "bytea", "int8"))
        for recorded in events:
            stored = encode(recorded)
            place = (stored.originator_id, stored.originator_version, stored.topic)
            rows.write_row((*place, stored.state, recorded.position))
