-- The next events of one stream, oldest first: a piece of one that may be too long to be held whole.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE originator_id = %(stream)s AND originator_version > %(after)s
ORDER BY originator_version
LIMIT %(limit)s
