-- The newest position of a log, up to where it is sealed, and the oldest event behind that: as of one moment.
SELECT
    coalesce((SELECT max(notification_id) FROM {schema}.events), 0),
    sealed.last,
    (SELECT state FROM {schema}.events
     WHERE notification_id > sealed.last
     ORDER BY notification_id
     LIMIT 1)
FROM (
    SELECT coalesce((SELECT last_position FROM {schema}.seals ORDER BY number DESC LIMIT 1), 0) AS last
) AS sealed
