-- How many orders to pay one user has, counted no further than the limit: it costs as much as that many entries of
-- an index, whatever else there is.
SELECT count(*) AS orders FROM (
    SELECT FROM {schema}.order_info WHERE user_id = %(user_id)s AND status = 1 LIMIT %(limit)s
) AS first_ones
