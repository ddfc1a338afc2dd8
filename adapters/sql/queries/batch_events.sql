-- The events of one batch that a projection wants to see, in the order of their commits. Those it leaves out
-- are named, not those it takes: an event that this version does not know yet must stop it, never be passed.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE notification_id > %(after)s AND notification_id <= %(until)s AND topic <> ALL(%(others)s)
ORDER BY notification_id
