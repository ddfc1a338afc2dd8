-- The next events up to some number: the last one's position, how many and how many bytes they are. Adding up
-- is cheaper than counting on (batch_end), which is asked only when they are too large together.
SELECT max(notification_id), count(*), coalesce(sum(octet_length(state)), 0)
FROM (
    SELECT notification_id, state
    FROM {schema}.events
    WHERE notification_id > %(after)s AND notification_id <= %(until)s
    ORDER BY notification_id
    LIMIT %(limit)s
) AS batch
