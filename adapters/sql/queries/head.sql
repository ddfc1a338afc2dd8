-- The newest position of a log, 0 while it is empty.
SELECT coalesce(max(notification_id), 0) FROM {schema}.events
