-- Orders of one user that are placed and not ended: to pay, or paid since.
SELECT order_id::text AS order_id
FROM {schema}.order_info
WHERE user_id = %(user_id)s AND (status = 1 OR (status = 2 AND pay_time > %(paid_after)s))
