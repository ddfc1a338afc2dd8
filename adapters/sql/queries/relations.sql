-- Tables and indexes of one schema; none while there is no such schema.
SELECT relname FROM pg_class WHERE relnamespace = to_regnamespace(quote_ident(%(schema)s))
