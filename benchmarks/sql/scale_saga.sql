-- The watchdog's list as if it had followed: every order is paid, so nothing is owed and nothing wakes.
INSERT INTO "order".order_saga (order_id, step, since, tries)
SELECT
    %(first_id)s::bigint + number * %(id_step)s::bigint, 'PAID',
    %(start)s::timestamp AT TIME ZONE 'UTC' + number * interval '2 seconds', 0
FROM generate_series(0, %(orders)s::bigint - 1) AS number
