-- Orders, newest first; of one user and in one status, where given. One user's orders, or those in one
-- status, are asked for as a range in the order of their index, not by equality: the planner might rather
-- read all orders backwards and leave out what does not match, which is slow when all that matches is old.
SELECT order_id::text AS order_id, user_id, status, close_reason, order_mount AS amount, pay_type, trade_id,
    pay_time, pay_before, refund_due, address, signer_name, signer_mobile, post, created_at
FROM {schema}.order_info
WHERE order_id < %(before)s -- unless user_id status
WHERE (user_id, order_id) < (%(user_id)s, %(before)s) -- when user_id unless status
AND (user_id, order_id) >= (%(user_id)s, 0) -- when user_id unless status
WHERE (status, order_id) < (%(status)s, %(before)s) -- when status unless user_id
AND (status, order_id) >= (%(status)s, 0) -- when status unless user_id
WHERE user_id = %(user_id)s AND status = %(status)s AND order_id < %(before)s -- when user_id status
ORDER BY
    user_id DESC, -- when user_id unless status
    status DESC, -- when status unless user_id
    order_info.order_id DESC
LIMIT %(limit)s
