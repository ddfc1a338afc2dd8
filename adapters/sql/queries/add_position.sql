-- A projection that is new here begins before the first event of its log.
INSERT INTO {schema}.position (log, projection, position, at)
VALUES (%(log)s, %(projection)s, 0, now())
ON CONFLICT DO NOTHING
