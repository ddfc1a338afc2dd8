-- Who holds a lock on the live tables that a swap has to wait for.
SELECT DISTINCT a.pid, coalesce(a.application_name, ''), coalesce(a.usename, ''),
    extract(epoch FROM now() - a.xact_start)::float
FROM pg_locks AS l
JOIN pg_class AS c ON c.oid = l.relation
JOIN pg_stat_activity AS a ON a.pid = l.pid
WHERE l.granted AND l.database = (SELECT oid FROM pg_database WHERE datname = current_database())
AND c.relnamespace = %(schema)s::regnamespace AND c.relname = ANY(%(tables)s) AND l.pid <> pg_backend_pid()
ORDER BY 4 DESC NULLS LAST
LIMIT 3
