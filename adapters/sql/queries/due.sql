-- Sagas whose next try is due, longest waiting first.
SELECT order_id FROM {schema}.order_saga WHERE next_try_at <= %(now)s ORDER BY next_try_at LIMIT %(limit)s
