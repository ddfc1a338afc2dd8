-- Every goods as it was created.
INSERT INTO goods.events (originator_id, originator_version, topic, state)
SELECT
    'goods-' || each, 1, 'GoodsCreated',
    convert_to(
        '{"at":"' || to_char(%(start)s::timestamp, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '","by":"staff","cmd":"goods-'
        || each || '","cor":"","data":{"goods_id":' || each || ',"name":"goods ' || each || '","price":1000}}', 'UTF8'
    )
FROM generate_series(1, %(goods)s::bigint) AS each
