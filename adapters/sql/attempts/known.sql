SELECT kind, digest, failures, last_at
FROM {schema}.attempts JOIN unnest(%(kinds)s::text[], %(digests)s::text[]) AS given (kind, digest)
USING (kind, digest)
