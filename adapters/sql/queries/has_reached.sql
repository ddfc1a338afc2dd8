-- Whether every projection of these logs has applied them up to these positions.
SELECT NOT EXISTS (
    SELECT FROM {schema}.position AS standing
    JOIN unnest(%(logs)s::text[], %(positions)s::bigint[]) AS wanted (log, position) USING (log)
    WHERE standing.position < wanted.position
) AS has_reached
