-- A few at a time, more than one attempt can add. A row that somebody counts on just now is left alone.
DELETE FROM {schema}.attempts WHERE (kind, digest) IN (
    SELECT kind, digest FROM {schema}.attempts
    WHERE last_at < %(forgotten)s ORDER BY last_at LIMIT %(limit)s FOR UPDATE SKIP LOCKED
)
