-- How far the next batch goes, and how many events that is: one at least, and otherwise not more than some
-- events and some bytes. What is toasted is not read for its length.
SELECT max(notification_id), count(*)
FROM (
    SELECT notification_id, row_number() OVER earlier AS number, sum(size) OVER earlier AS bytes
    FROM (
        SELECT notification_id, octet_length(state) AS size
        FROM {schema}.events
        WHERE notification_id > %(after)s AND notification_id <= %(until)s
        ORDER BY notification_id
        LIMIT %(limit)s
    ) AS batch
    WINDOW earlier AS (ORDER BY notification_id ROWS UNBOUNDED PRECEDING)
) AS counted
WHERE number = 1 OR bytes <= %(bytes)s
