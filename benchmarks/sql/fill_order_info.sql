-- Every hundredth order is user 1's; the others have about 20 each. One in 50 is to pay, one in 5 is closed.
-- The texts are as long as sealed ones.
INSERT INTO {schema}.order_info
SELECT
    %(first_id)s + number * %(id_step)s,
    CASE WHEN number %% 100 = 0 THEN 1 ELSE 2 + number * 7919 %% %(users)s END,
    CASE WHEN status = 2 THEN 'alipay' END,
    status,
    CASE WHEN status = 2 THEN 'T-' || number END,
    100 + number %% 50000,
    CASE WHEN status = 2 THEN at + interval '2 minutes' END,
    'sealed1.' || word || word || left(word, 16),
    'sealed1.' || word || left(word, 20),
    'sealed1.' || word || left(word, 20),
    'sealed1.' || word || left(word, 16),
    CASE WHEN status = 3 THEN 'payment-lapsed' END,
    0,
    at + interval '30 minutes',
    at,
    at + interval '2 minutes'
FROM (
    SELECT
        number,
        md5(number::text) AS word,
        %(start)s::timestamptz + number * interval '2 seconds' AS at,
        CASE
            WHEN (hashint8(number)::bigint & 2147483647) %% 1000 < 20 THEN 1
            WHEN (hashint8(number)::bigint & 2147483647) %% 1000 < 220 THEN 3
            ELSE 2
        END AS status
    FROM generate_series(1, %(orders)s::bigint) AS number
) AS made
