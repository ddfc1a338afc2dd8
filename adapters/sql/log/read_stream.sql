-- One stream, oldest event first; no version means all of it.
SELECT originator_id, originator_version, topic, state, notification_id
FROM {schema}.events
WHERE originator_id = %(stream)s AND originator_version <= coalesce(%(version)s, 9223372036854775807)
ORDER BY originator_version
