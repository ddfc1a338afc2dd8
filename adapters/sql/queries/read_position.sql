SELECT position FROM {schema}.position
WHERE log = %(log)s AND projection = %(projection)s
