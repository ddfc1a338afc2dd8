-- Payments that may be of one trade, whether taken or to be given back. Positions only go forward and there is no
-- index by trade: the names of two events leave few rows, and their bytes are looked through, not parsed.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE topic = ANY(%(topics)s) AND position(convert_to(%(needle)s, 'UTF8') IN state) > 0
ORDER BY notification_id
LIMIT %(limit)s
