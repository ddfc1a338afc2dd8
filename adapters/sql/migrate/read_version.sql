-- The newest step that a log's schema has taken, 0 for none.
SELECT coalesce(max(version), 0) FROM {schema}.schema_version
