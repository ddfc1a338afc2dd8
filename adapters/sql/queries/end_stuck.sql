-- Ends sessions of projectors that are past the end of their transaction. The server ends those by itself, but
-- not while it waits for a client that has stopped to take rows off its hands. Returns one row for each.
SELECT pg_terminate_backend(pid, %(gone_within_ms)s)
FROM pg_stat_activity
WHERE datname = current_database() AND pg_has_role(usesysid, 'USAGE') AND application_name = %(application)s
  AND xact_start < now() - make_interval(secs => %(stuck_after_s)s)
