-- As if the projection were new here: from before the first event of its log.
UPDATE {schema}.position SET position = 0, at = now(), last_error = NULL, shape = %(shape)s
WHERE log = %(log)s AND projection = %(projection)s
