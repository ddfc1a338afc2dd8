-- Seals in their order, from one number on.
SELECT number, first_position, last_position, events, root, previous, sealed_at, key_id, signature
FROM {schema}.seals
WHERE number > %(after)s
ORDER BY number
LIMIT %(limit)s
