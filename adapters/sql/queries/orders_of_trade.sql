-- Orders that a trade may stand at, paid with it or with money owed back, whose trades are in the log only; and up to
-- where in the log that is so: as of one moment.
SELECT position, shape, ARRAY(
    SELECT order_id FROM {schema}.order_info
    WHERE trade_id = %(trade_id)s OR refund_due > 0
    LIMIT %(limit)s
)
FROM {schema}.position
WHERE log = %(log)s AND projection = %(projection)s
