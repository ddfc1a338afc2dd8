-- The goods of some orders, each in the order they were ordered.
SELECT order_id::text AS order_id, goods_id, goods_name, goods_price, nums
FROM {schema}.order_goods
WHERE order_id = ANY(%(order_ids)s)
ORDER BY order_goods.order_id, place
