-- The events between two positions that a projection wants to see, in the order of their commits. Those it
-- leaves out are named, not those it takes, as in batch_events.
COPY (
    SELECT originator_id, originator_version, topic, state, notification_id
    FROM {schema}.events
    WHERE notification_id > {after} AND notification_id <= {until} AND topic <> ALL({others}::text[])
    ORDER BY notification_id
) TO STDOUT (FORMAT binary)
