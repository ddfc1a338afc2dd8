-- Tables of a schema that this role may not move.
SELECT n.nspname || '.' || c.relname
FROM pg_class AS c
JOIN pg_namespace AS n ON n.oid = c.relnamespace
WHERE n.nspname = %(schema)s AND c.relname = ANY(%(tables)s) AND NOT pg_has_role(c.relowner, 'USAGE')
ORDER BY c.relname
