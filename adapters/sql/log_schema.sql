-- What a log has besides the library's events table. The placeholder is the schema, the service's name.
-- Every statement may be run again, also beside running processes.

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

CREATE OR REPLACE TRIGGER append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.events
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
