-- How far the next batch goes, and how many events that is: counted in the index, nothing else is read.
SELECT max(notification_id), count(*)
FROM (
    SELECT notification_id FROM {schema}.events
    WHERE notification_id > %(after)s AND notification_id <= %(until)s
    ORDER BY notification_id
    LIMIT %(limit)s
) AS batch
