-- The type of each column of one table.
SELECT attname, atttypid::oid
FROM pg_attribute
WHERE attrelid = format('%%I.%%I', %s::text, %s::text)::regclass AND attnum > 0 AND NOT attisdropped
