-- Whose transactions a waiting session waits for, the one that is open for longest first. What a role may not see
-- of others is null.
SELECT pid, coalesce(nullif(application_name, ''), usename, backend_type), state,
       extract(epoch FROM clock_timestamp() - xact_start)::float8
FROM pg_stat_activity
WHERE pid = ANY(pg_blocking_pids(%(waiting)s))
ORDER BY xact_start
LIMIT 3
