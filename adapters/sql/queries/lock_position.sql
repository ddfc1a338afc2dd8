-- Whoever holds this row may change the projection's tables. No row: another process has it now.
SELECT position, shape FROM {schema}.position
WHERE log = %(log)s AND projection = %(projection)s
FOR UPDATE SKIP LOCKED
