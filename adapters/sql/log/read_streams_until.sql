-- Some streams up to a position.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE originator_id = ANY(%(streams)s) AND notification_id <= %(until)s
ORDER BY notification_id
