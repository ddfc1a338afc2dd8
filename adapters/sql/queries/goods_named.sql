-- Goods that are for sale and whose name begins with some letters, whatever their case, in the order of
-- their names: of the first 100 letters, which is what the index holds. There is one lower bound only, so a
-- page begins in the index where the one before ended; the upper bound ends in the last code point there is.
SELECT id AS goods_id, name, price, left(lower(name COLLATE pg_c_utf8), 100) AS lower_name
FROM {schema}.goods
WHERE deleted_at IS NULL
AND (left(lower(name COLLATE pg_c_utf8), 100), id) >= (left(lower(%(q)s::text COLLATE pg_c_utf8), 100), 0) -- unless lower_name
AND (left(lower(name COLLATE pg_c_utf8), 100), id) > (%(lower_name)s::text, %(goods_id)s) -- when lower_name
AND left(lower(name COLLATE pg_c_utf8), 100) < left(lower(%(q)s::text COLLATE pg_c_utf8), 100) || U&'\+10FFFF'
ORDER BY left(lower(name COLLATE pg_c_utf8), 100), id
LIMIT %(limit)s
