-- Sagas in one step, or all that owe something: those that are stuck first, then the longest in their step.
SELECT order_id::text AS order_id, step, owes, since, tries, next_try_at, last_error
FROM {schema}.order_saga
WHERE step = %(step)s -- when step
WHERE owes IS NOT NULL -- unless step
AND since <= now() - make_interval(secs => %(older_than_s)s) -- when older_than_s
ORDER BY (owes IS NOT NULL AND tries >= 3) DESC, since, order_saga.order_id
LIMIT %(limit)s
