-- What a stream got before a position, and after the last event of one kind, whatever its name
-- was when it was stored, before that position.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE originator_id = %(stream)s
  AND notification_id < %(before)s
  AND originator_version > (
      SELECT coalesce(max(originator_version), 0)
      FROM {schema}.events
      WHERE originator_id = %(stream)s AND topic = ANY(%(topics)s) AND notification_id < %(before)s
  )
ORDER BY originator_version
