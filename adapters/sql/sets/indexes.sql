-- The indexes of a schema besides those of primary keys: their names, and the statements that make them.
SELECT i.indexrelid::regclass::text, pg_get_indexdef(i.indexrelid)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE c.relnamespace = %(schema)s::regnamespace AND NOT i.indisprimary
ORDER BY c.relname
