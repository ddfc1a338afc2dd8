-- In one order everywhere, so that two processes that count the same subjects wait for each other and never in
-- a circle.
INSERT INTO {schema}.attempts AS known (kind, digest, failures, last_at)
SELECT kind, digest, 1, %(now)s FROM unnest(%(kinds)s::text[], %(digests)s::text[]) AS given (kind, digest)
ORDER BY kind, digest
ON CONFLICT (kind, digest) DO UPDATE SET
    failures = CASE WHEN known.last_at < %(forgotten)s THEN 1 ELSE known.failures + 1 END,
    last_at = excluded.last_at
RETURNING kind, digest, failures, last_at
