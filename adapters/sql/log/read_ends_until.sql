-- The first and the last event of some streams up to a position. A stream is long, and little of it is new: so
-- both are found from the ends of the stream, by its index.
SELECT found.*
FROM unnest(%(streams)s::text[]) AS wanted (stream)
CROSS JOIN LATERAL (
    (
        SELECT originator_id, originator_version, topic, state, notification_id
        FROM {schema}.events
        WHERE originator_id = wanted.stream AND notification_id <= %(until)s
        ORDER BY originator_version
        LIMIT 1
    )
    UNION
    (
        SELECT originator_id, originator_version, topic, state, notification_id
        FROM {schema}.events
        WHERE originator_id = wanted.stream AND notification_id <= %(until)s
        ORDER BY originator_version DESC
        LIMIT 1
    )
) AS found
ORDER BY notification_id
