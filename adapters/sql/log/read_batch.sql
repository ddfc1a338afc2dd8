-- The next events of a log in the order of their commits. Positions are taken and committed under one lock,
-- so everything up to a position that was seen is there, and stays as it is.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE notification_id > %(after)s AND notification_id <= %(until)s
ORDER BY notification_id
LIMIT %(limit)s
