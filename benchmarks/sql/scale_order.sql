-- Orders of two goods each, all paid: the goods take turns, and so do the customers, who come back.
INSERT INTO "order".events (originator_id, originator_version, topic, state)
SELECT
    event.stream, event.version, event.topic,
    convert_to(
        '{"at":"' || made.at || '","by":"' || event.by || '","cmd":"fill-' || made.number || event.cmd || '","cor":"'
        || event.cor || '","data":' || event.data || '}', 'UTF8'
    )
FROM (
    SELECT
        number,
        (%(first_id)s::bigint + number * %(id_step)s::bigint)::text AS order_id,
        number %% %(users)s::bigint + 1 AS user_id,
        number / %(users)s::bigint * 3 AS before,
        to_char(%(start)s::timestamp + number * interval '2 seconds', 'YYYY-MM-DD"T"HH24:MI:SS"Z"') AS at,
        to_char(
            %(start)s::timestamp + number * interval '2 seconds' + interval '30 minutes', 'YYYY-MM-DD"T"HH24:MI:SS"Z"'
        ) AS later,
        number * 2 %% %(goods)s::bigint + 1 AS one,
        (number * 2 + 1) %% %(goods)s::bigint + 1 AS other,
        'sealed1.' || repeat(md5(number::text), 2) AS word
    FROM generate_series(0, %(orders)s::bigint - 1) AS number
) AS made
CROSS JOIN LATERAL (
    SELECT
        '"order_id":"' || order_id || '","user_id":' || user_id
        || ',"lines":[{"goods_id":' || one || ',"name":"goods ' || one || '","price":1000,"nums":1},{"goods_id":'
        || other || ',"name":"goods ' || other || '","price":1000,"nums":1}],"amount":2000,"contact":{"address":"'
        || word || '","signer_name":"' || word || '","signer_mobile":"' || word || '","post":"' || word
        || '"},"at":"' || at || '"' AS ordered,
        '[{"goods_id":' || one || ',"nums":1},{"goods_id":' || other || ',"nums":1}]' AS units
) AS words
CROSS JOIN LATERAL (
    VALUES
    ('cart-' || user_id, before + 1, 'CartReplaced', 'user-' || user_id, '-cart', '',
     '{"lines":[{"goods_id":' || one || ',"nums":1,"checked":true},{"goods_id":' || other
     || ',"nums":1,"checked":true}]}'),
    ('saga-' || order_id, 1, 'OrderStarted', 'user-' || user_id, '-start', order_id,
     '{' || ordered || ',"sell_before":"' || later || '"}'),
    ('cart-' || user_id, before + 2, 'CheckoutBegun', 'user-' || user_id, '-start', order_id,
     '{"order_id":"' || order_id || '","lines":' || units || '}'),
    ('saga-' || order_id, 2, 'SellConfirmed', 'inventory', '-sold', order_id, '{"pay_before":"' || later || '"}'),
    ('order-' || order_id, 1, 'OrderPlaced', 'inventory', '-sold', order_id,
     '{"placed":{' || ordered || ',"pay_before":"' || later || '"}}'),
    ('cart-' || user_id, before + 3, 'CheckedOut', 'inventory', '-sold', order_id,
     '{"order_id":"' || order_id || '","lines":' || units || '}'),
    ('order-' || order_id, 2, 'OrderPaid', 'payments', '-paid', order_id,
     '{"payment":{"pay_type":"alipay","trade_id":"T-' || number || '","amount":2000,"at":"' || at || '"}}'),
    ('saga-' || order_id, 3, 'PaymentTaken', 'payments', '-paid', order_id, '{}')
) AS event (stream, version, topic, by, cmd, cor, data)
