-- 0 for a log with no events.
SELECT coalesce(max(notification_id), 0) FROM {schema}.events
