-- How many orders to pay each of these users has, counted no further than the limit: it costs as much as that many
-- entries of an index a user, whatever else there is.
SELECT asked.user_id, (
    SELECT count(*) FROM (
        SELECT FROM {schema}.order_info WHERE user_id = asked.user_id AND status = 1 LIMIT %(limit)s
    ) AS first_ones
) AS orders
FROM unnest(%(user_ids)s::bigint[]) AS asked (user_id)
