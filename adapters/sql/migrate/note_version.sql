-- In the transaction of the step itself, so a step is taken and noted, or neither.
INSERT INTO {schema}.schema_version (version, step) VALUES (%(version)s, %(step)s)
