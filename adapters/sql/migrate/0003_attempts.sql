-- Failed log-ins by account and by address, both as keyed hashes, in the schema of the user log so that all API
-- processes share them. Not part of the log: nothing follows from a row, and a day after its last failure it goes.
-- `last_at` is the clock of the process that counted.
CREATE TABLE IF NOT EXISTS {schema}.attempts (
    kind text NOT NULL,
    digest text NOT NULL,
    failures bigint NOT NULL,
    last_at timestamptz NOT NULL,
    PRIMARY KEY (kind, digest)
) WITH (autovacuum_vacuum_threshold = 500, autovacuum_vacuum_scale_factor = 0.05);
-- Finds those that are to be forgotten.
DO $$
BEGIN
    IF to_regclass('{schema}.attempts_last_at') IS NULL THEN
        CREATE INDEX attempts_last_at ON {schema}.attempts (last_at);
    END IF;
END
$$;
