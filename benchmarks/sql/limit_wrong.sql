-- What is there after a round, and how much of it is wrong.
-- oversold: goods with less than nothing left. wrong: goods of which another number was sold than ordered.
-- torn: orders without their sale or without their two lines.
WITH ordered AS (
    SELECT goods_id, sum(nums) AS units FROM by_hand.order_line GROUP BY goods_id
), lines AS (
    SELECT order_id, count(*) AS lines FROM by_hand.order_line GROUP BY order_id
)
SELECT
    (SELECT count(*) FROM by_hand.order_info) AS orders,
    (SELECT count(*) FROM by_hand.goods WHERE stock < 0) AS oversold,
    (SELECT count(*) FROM by_hand.goods FULL JOIN ordered USING (goods_id)
        WHERE %(stock)s - stock IS DISTINCT FROM coalesce(units, 0)) AS wrong,
    (SELECT count(*) FROM by_hand.order_info FULL JOIN by_hand.sale USING (order_id) FULL JOIN lines USING (order_id)
        WHERE order_info.user_id IS NULL OR sale.status IS NULL OR lines.lines IS DISTINCT FROM 2) AS torn
