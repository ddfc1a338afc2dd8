-- How far a set that is being built has got; an error for as long as it must not be taken for a whole one.
UPDATE {schema}.position SET position = %(position)s, at = now(), last_error = %(error)s
WHERE log = %(log)s AND projection = %(projection)s
