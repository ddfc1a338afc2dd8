SELECT position, shape FROM {schema}.position
WHERE log = %(log)s AND projection = %(projection)s
