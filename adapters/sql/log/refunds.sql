-- Every payment that came for a closed order, in the order of the log.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE topic = ANY(%(topics)s)
ORDER BY notification_id DESC
LIMIT %(limit)s
