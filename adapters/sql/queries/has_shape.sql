-- ALTER TABLE would wait for its lock, and stop all readers meanwhile, also with nothing to do.
SELECT EXISTS (
    SELECT FROM pg_attribute
    WHERE attrelid = %(table)s::regclass AND attname = 'shape' AND NOT attisdropped
) AS has_shape
