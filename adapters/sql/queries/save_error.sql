-- `at` stays: it says since when nothing moved.
UPDATE {schema}.position SET last_error = %(error)s
WHERE log = %(log)s AND projection = %(projection)s
