-- How many events stand behind a position.
SELECT count(*) FROM {schema}.events WHERE notification_id > %(after)s
