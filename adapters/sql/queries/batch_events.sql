-- The events of one batch that a projection wants to see, in the order of their commits.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE notification_id > %(after)s AND notification_id <= %(until)s AND topic = ANY(%(topics)s)
ORDER BY notification_id
