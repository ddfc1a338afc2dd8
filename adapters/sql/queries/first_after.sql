-- The oldest event after a position.
SELECT state FROM {schema}.events
WHERE notification_id > %(after)s
ORDER BY notification_id
LIMIT 1
