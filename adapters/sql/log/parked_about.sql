-- Parked messages that name an order: the newest of those that are kept, at most 10,000.
SELECT id, subject, reason, times, at, last_at
FROM {schema}.parked
WHERE position(convert_to(%(needle)s, 'UTF8') IN data) > 0
ORDER BY id DESC
LIMIT %(limit)s
