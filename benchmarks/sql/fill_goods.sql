-- One in 20 is deleted.
INSERT INTO {schema}.goods
SELECT
    number,
    %(start)s,
    %(start)s,
    CASE WHEN number %% 20 = 0 THEN %(start)s::timestamptz END,
    (ARRAY['red', 'white', 'blue', 'green', 'ivory', 'rose', 'silver', 'black'])[1 + number %% 8] || ' '
    || (ARRAY['mug', 'tray', 'candle', 'lantern', 'teapot', 'clock', 'jar'])[1 + number %% 7] || ' ' || number,
    100 + number %% 9000
FROM generate_series(1, %(goods)s::bigint) AS number
