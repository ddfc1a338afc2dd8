-- What of every goods was counted at first, and the counts of goods 1 that make its stream long.
INSERT INTO inventory.events (originator_id, originator_version, topic, state)
SELECT
    'stock-' || each, version, topic,
    convert_to(
        '{"at":"' || to_char(%(start)s::timestamp, 'YYYY-MM-DD"T"HH24:MI:SS"Z"') || '","by":"staff","cmd":"stock-'
        || each || '-' || version || '","cor":"","data":' || data || '}', 'UTF8'
    )
FROM (
    SELECT
        each, 1 AS version, 'StockSet' AS topic,
        '{"on_hand":' || %(units)s::bigint || ',"before":0}' AS data
    FROM generate_series(1, %(goods)s::bigint) AS each
    UNION ALL
    SELECT
        1, number + 1, 'StockAdjusted',
        '{"delta":1,"reason":"counted","on_hand":' || (%(units)s::bigint + number) || '}'
    FROM generate_series(1, %(counts)s::bigint) AS number
) AS counted
