-- The sale of each order and the units it took: a unit of goods 1 is left more for each count that found one.
INSERT INTO inventory.events (originator_id, originator_version, topic, state)
SELECT
    event.stream, event.version, event.topic,
    convert_to(
        '{"at":"' || made.at || '","by":"orchestrator","cmd":"fill-' || made.number || '-sell","cor":"'
        || made.order_id || '","data":' || event.data || '}', 'UTF8'
    )
FROM (
    SELECT
        number,
        (%(first_id)s::bigint + number * %(id_step)s::bigint)::text AS order_id,
        to_char(%(start)s::timestamp + number * interval '2 seconds', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at,
        number * 2 %% %(goods)s::bigint + 1 AS one,
        (number * 2 + 1) %% %(goods)s::bigint + 1 AS other,
        number * 2 / %(goods)s::bigint + 1 AS sold,
        CASE WHEN number * 2 %% %(goods)s::bigint = 0 THEN %(counts)s::bigint ELSE 0 END AS counted
    FROM generate_series(0, %(orders)s::bigint - 1) AS number
) AS made
CROSS JOIN LATERAL (
    VALUES
    ('sale-' || order_id, 1, 'Sold',
     '{"lines":[{"goods_id":' || one || ',"nums":1},{"goods_id":' || other || ',"nums":1}]}'),
    ('stock-' || one, 1 + counted + sold, 'StockSold',
     '{"order_id":"' || order_id || '","nums":1,"on_hand":' || (%(units)s::bigint + counted - sold) || '}'),
    ('stock-' || other, 1 + sold, 'StockSold',
     '{"order_id":"' || order_id || '","nums":1,"on_hand":' || (%(units)s::bigint - sold) || '}')
) AS event (stream, version, topic, data)
