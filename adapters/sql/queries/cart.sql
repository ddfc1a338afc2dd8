-- A cart in the order its lines were put. Goods that were deleted keep their name and last price.
SELECT line.goods_id, goods.name, goods.price, line.nums, line.checked,
    goods.id IS NOT NULL AND goods.deleted_at IS NULL AS for_sale
FROM {schema}.shopping_cart AS line
LEFT JOIN {schema}.goods AS goods ON goods.id = line.goods_id
WHERE line.user_id = %(user_id)s
ORDER BY line.place
