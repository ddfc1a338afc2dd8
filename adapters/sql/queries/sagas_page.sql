-- Sagas in one step, or all that owe something, or those of them that are stuck; the one that has been in its step longest comes first.
SELECT order_id::text AS order_id, step, owes, since, tries, next_try_at, last_error
FROM {schema}.order_saga
WHERE step = %(step)s -- when step
WHERE owes IS NOT NULL -- unless step
AND owes IS NOT NULL AND tries >= 3 -- when stuck
AND since <= now() - make_interval(secs => %(older_than_s)s) -- when older_than_s
AND (since, order_id) > (%(since)s, %(order_id)s) -- when since
ORDER BY since, order_saga.order_id
LIMIT %(limit)s
