-- While these rows are held, no projector writes the set.
SELECT projection, position FROM {schema}.position WHERE projection = ANY(%(projections)s) FOR UPDATE
