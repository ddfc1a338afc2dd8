-- Tables from before shapes were noted are those of today. A shape that is noted stays.
UPDATE {schema}.position SET shape = %(shape)s
WHERE log = %(log)s AND projection = %(projection)s AND shape IS NULL
