-- Messages that were taken off the wire because nobody can read or handle them, in the schema of the log
-- whose role takes them.

-- `data` is the beginning of the message, `size` and `sha256` are of all of it. A message is named by its place
-- in the broker's stream, and by its bytes, because a stream that is made again counts from 1 again.
CREATE TABLE IF NOT EXISTS {schema}.parked (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    place text NOT NULL,
    subject text NOT NULL,
    reason text NOT NULL,
    size bigint NOT NULL,
    sha256 bytea NOT NULL,
    data bytea NOT NULL,
    at timestamptz NOT NULL,
    times bigint NOT NULL DEFAULT 1,
    last_at timestamptz NOT NULL,
    UNIQUE (place, sha256)
) WITH (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);

-- How many were parked and had to make room since, in one row.
CREATE TABLE IF NOT EXISTS {schema}.parked_dropped (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    messages bigint NOT NULL
) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0);
INSERT INTO {schema}.parked_dropped (messages) VALUES (0) ON CONFLICT DO NOTHING;
