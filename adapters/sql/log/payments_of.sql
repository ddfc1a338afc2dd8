-- The same of some orders' streams.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE originator_id = ANY(%(streams)s)
    AND topic = ANY(%(topics)s) AND position(convert_to(%(needle)s, 'UTF8') IN state) > 0
ORDER BY notification_id
LIMIT %(limit)s
