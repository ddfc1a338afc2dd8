-- Streams of orders that were paid, up to a position, under a trade id that is used once more after it. Found by
-- the bytes, as a damaged event must not end this: up to the first quote, so some that are found are of another
-- trade id, and whoever reads them sees that.
SELECT DISTINCT earlier.originator_id
FROM {schema}.events AS earlier
WHERE earlier.topic = ANY(%(topics)s) AND earlier.notification_id <= %(after)s
    AND substring(encode(earlier.state, 'escape') FROM '"trade_id":"([^"]*)') IN (
        SELECT substring(encode(later.state, 'escape') FROM '"trade_id":"([^"]*)')
        FROM {schema}.events AS later
        WHERE later.topic = ANY(%(topics)s)
            AND later.notification_id > %(after)s AND later.notification_id <= %(until)s
    )
