-- A log: the eventsourcing library's events table as its recorder makes it, so that a plain Application finds
-- what it expects, and what our log has besides. The placeholder is the schema, the service's name.
--
-- Databases from before steps were numbered have any part of this already. What is there is left alone: even
-- CREATE INDEX IF NOT EXISTS and CREATE OR REPLACE TRIGGER would stop all writers while they wait for a lock.

CREATE TABLE IF NOT EXISTS {schema}.events (
    originator_id text NOT NULL,
    originator_version bigint NOT NULL,
    topic text,
    state bytea,
    notification_id bigserial,
    PRIMARY KEY (originator_id, originator_version)
) WITH (
    autovacuum_enabled = true,
    autovacuum_vacuum_threshold = 100000000,
    autovacuum_vacuum_scale_factor = 0.5,
    autovacuum_analyze_threshold = 1000,
    autovacuum_analyze_scale_factor = 0.01
);

DO $$
BEGIN
    IF to_regclass('{schema}.events_notification_id_idx') IS NULL THEN
        CREATE UNIQUE INDEX events_notification_id_idx ON {schema}.events (notification_id);
    END IF;
END
$$;

-- Raises serialization_failure when a stream has moved past the version its reader saw.
-- Called under the log's advisory lock, so what it finds cannot change before the commit.
CREATE OR REPLACE FUNCTION {schema}.expect_versions(ids text[], versions bigint[]) RETURNS void
LANGUAGE plpgsql AS $$
DECLARE
    moved text;
BEGIN
    SELECT k.id INTO moved
    FROM unnest(ids, versions) AS k(id, version)
    WHERE EXISTS (
        SELECT FROM {schema}.events e
        WHERE e.originator_id = k.id AND e.originator_version = k.version + 1
    )
    LIMIT 1;
    IF moved IS NOT NULL THEN
        RAISE EXCEPTION 'stream % has moved on', moved USING ERRCODE = 'serialization_failure';
    END IF;
END
$$;

-- The second wall behind the missing rights: what is in the log stays as it is.
CREATE OR REPLACE FUNCTION {schema}.refuse_change() RETURNS trigger
LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'the log is append-only: % on %.% is not allowed', TG_OP, TG_TABLE_SCHEMA, TG_TABLE_NAME
        USING ERRCODE = 'insufficient_privilege';
END
$$;

DO $$
BEGIN
    IF NOT EXISTS (
        SELECT FROM pg_trigger WHERE tgrelid = '{schema}.events'::regclass AND tgname = 'append_only'
    ) THEN
        CREATE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.events
            FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
    END IF;
END
$$;
