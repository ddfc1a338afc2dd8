UPDATE {schema}.position SET position = %(position)s, at = now(), last_error = NULL
WHERE log = %(log)s AND projection = %(projection)s
