SELECT log, projection, position, at, last_error
FROM {schema}.position
ORDER BY log, projection
