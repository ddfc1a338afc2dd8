-- Goods that are for sale, in the order of their ids.
SELECT id AS goods_id, name, price
FROM {schema}.goods
WHERE deleted_at IS NULL
AND id > %(goods_id)s -- when goods_id
ORDER BY id
LIMIT %(limit)s
