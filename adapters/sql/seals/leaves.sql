-- Events as they are hashed: each row is sent as the bytes of its leaf (orchestrator.seals.leaf_of).
COPY (
    SELECT notification_id, originator_version, originator_id, topic, state
    FROM {schema}.events
    WHERE notification_id > %(after)s AND notification_id <= %(until)s
    ORDER BY notification_id
    LIMIT %(limit)s
) TO STDOUT (FORMAT binary)
