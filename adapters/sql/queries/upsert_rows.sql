-- New and changed rows of one read model, one array a column.
INSERT INTO {table} ({columns})
SELECT * FROM unnest({arrays})
ON CONFLICT ({primary_key}) DO UPDATE SET {changes}
