-- One in 50 owes something, and 3 of 10 of those are stuck.
INSERT INTO {schema}.order_saga
SELECT
    %(first_id)s + number * %(id_step)s,
    CASE
        WHEN number %% 50 = 3 THEN 'SELLING'
        WHEN (hashint8(number)::bigint & 2147483647) %% 1000 < 20 THEN 'AWAITING_PAYMENT'
        WHEN (hashint8(number)::bigint & 2147483647) %% 1000 < 220 THEN 'CLOSED'
        ELSE 'PAID'
    END,
    CASE WHEN number %% 50 = 3 THEN 'Sell' END,
    %(start)s::timestamptz + number * interval '2 seconds',
    CASE WHEN number %% 50 = 3 THEN number / 50 %% 10 / 7 * 3 ELSE 0 END,
    CASE WHEN number %% 50 = 3 THEN %(start)s::timestamptz + number * interval '2 seconds' END,
    CASE WHEN number %% 50 = 3 THEN 'inventory has not answered Sell' END
FROM generate_series(1, %(orders)s::bigint) AS number
