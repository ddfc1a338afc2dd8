-- A projection that is new here begins before the first event of its log.
INSERT INTO {schema}.position (log, projection, position, at, shape)
VALUES (%(log)s, %(projection)s, 0, now(), %(shape)s)
ON CONFLICT DO NOTHING
