-- The seal that covers a position.
SELECT number, first_position, last_position, events, root, previous, sealed_at, key_id, signature
FROM {schema}.seals
WHERE first_position <= %(position)s AND last_position >= %(position)s
