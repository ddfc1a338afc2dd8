-- When the last event at or before a position was recorded.
SELECT (convert_from(state, 'UTF8')::jsonb ->> 'at')::timestamptz
FROM {schema}.events
WHERE notification_id <= %(position)s
ORDER BY notification_id DESC
LIMIT 1
