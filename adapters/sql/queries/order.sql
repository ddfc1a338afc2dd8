SELECT order_id::text AS order_id, user_id, status, close_reason, order_mount AS amount, pay_type, trade_id,
    pay_time, pay_before, refund_due, address, signer_name, signer_mobile, post, created_at
FROM {schema}.order_info
WHERE order_id = %(order_id)s
