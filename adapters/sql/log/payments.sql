-- Payments behind a position that may be of one trade, whether taken or to be given back. There is no index by trade:
-- the names of two events leave few rows, and their bytes are looked through, not parsed.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE notification_id > %(after)s
    AND topic = ANY(%(topics)s) AND position(convert_to(%(needle)s, 'UTF8') IN state) > 0
ORDER BY notification_id
LIMIT %(limit)s
