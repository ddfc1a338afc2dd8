-- Two lines an order.
INSERT INTO {schema}.order_goods
SELECT
    %(first_id)s + number * %(id_step)s,
    1 + (number + place * 17) %% %(goods)s,
    'red mug ' || number,
    100 + number %% 9000,
    1 + number %% 3,
    place
FROM generate_series(1, %(orders)s::bigint) AS number, generate_series(0, 1) AS place
