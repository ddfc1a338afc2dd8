-- `at` stays: it says since when nothing moved. So does a note that says the same, or that would come too late.
UPDATE {schema}.position SET last_error = %(error)s
WHERE log = %(log)s AND projection = %(projection)s AND position = %(position)s
  AND last_error IS DISTINCT FROM %(error)s
