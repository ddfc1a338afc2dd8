SELECT order_id::text AS order_id, step, owes, since, tries, next_try_at, last_error
FROM {schema}.order_saga
WHERE order_id = %(order_id)s
