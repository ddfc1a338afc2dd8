-- The streams that got something between two positions.
SELECT DISTINCT originator_id
FROM {schema}.events
WHERE notification_id > %(after)s AND notification_id <= %(until)s
