SELECT order_id::text AS order_id, status, detail AS lines
FROM {schema}.stock_sell_detail
WHERE order_id = %(order_id)s
