-- Rows that are gone from one read model, one array a column of the primary key.
DELETE FROM {table} AS standing
USING unnest({arrays}) AS gone ({primary_key})
WHERE {same_key}
