-- Goods that are for sale, by id.
SELECT id AS goods_id, name, price
FROM {schema}.goods
WHERE id = ANY(%(ids)s) AND deleted_at IS NULL
