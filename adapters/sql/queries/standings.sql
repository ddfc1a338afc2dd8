-- Where every projection of a schema stands, and which version of it made the tables.
SELECT log, projection, position, at, last_error, shape
FROM {schema}.position
