-- The newest seal.
SELECT number, first_position, last_position, events, root, previous, sealed_at, key_id, signature
FROM {schema}.seals
ORDER BY number DESC
LIMIT 1
