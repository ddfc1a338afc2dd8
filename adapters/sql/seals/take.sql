-- Whether this session seals the log, until its transaction ends; others look on meanwhile.
SELECT pg_try_advisory_xact_lock(hashtextextended({name} || '.seals', 0))
