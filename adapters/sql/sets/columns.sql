-- The columns of one table: name and type.
SELECT attname, format_type(atttypid, atttypmod)
FROM pg_attribute
WHERE attrelid = format('%%I.%%I', %(schema)s::text, %(table)s::text)::regclass AND attnum > 0 AND NOT attisdropped
ORDER BY attnum
