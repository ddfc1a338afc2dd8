-- An empty shop with so many goods, so many units of each.
INSERT INTO by_hand.goods (goods_id, name, price, stock)
SELECT each, 'goods ' || each, 1000 + each, %(stock)s FROM generate_series(1, %(goods)s) AS each
