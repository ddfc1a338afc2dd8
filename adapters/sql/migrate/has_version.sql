-- Whether a log's schema has a table of versions. Not by to_regclass: that may answer from before we got the right
-- to migrate, out of a cache that this transaction filled while it waited.
SELECT EXISTS (
    SELECT FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
    WHERE n.nspname = %(log)s AND c.relname = 'schema_version'
)
