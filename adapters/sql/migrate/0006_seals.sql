-- What the log held, sealed. Append only. marks: the first 8 bytes of every event's hash, to name a place.
CREATE TABLE {schema}.seals (
    number bigint PRIMARY KEY,
    first_position bigint NOT NULL,
    last_position bigint NOT NULL,
    events bigint NOT NULL,
    root bytea NOT NULL,
    previous bytea NOT NULL,
    sealed_at timestamptz NOT NULL,
    key_id text NOT NULL,
    signature bytea NOT NULL,
    marks bytea NOT NULL
);
-- Hashes cannot be compressed.
ALTER TABLE {schema}.seals ALTER COLUMN marks SET STORAGE EXTERNAL;

CREATE TRIGGER seals_append_only BEFORE UPDATE OR DELETE OR TRUNCATE ON {schema}.seals
    FOR EACH STATEMENT EXECUTE FUNCTION {schema}.refuse_change();
