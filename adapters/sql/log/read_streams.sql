-- Several streams whole, each by its key.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE originator_id = ANY(%(streams)s)
ORDER BY notification_id
