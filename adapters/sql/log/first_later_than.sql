-- The first event that was recorded later than a moment, by its own time; the scan ends there.
SELECT notification_id
FROM {schema}.events
WHERE (convert_from(state, 'UTF8')::jsonb ->> 'at')::timestamptz > %(at)s
ORDER BY notification_id
LIMIT 1
