-- How many rows there are in either of two sets, and in how many they differ.
SELECT count(*), count(*) FILTER (WHERE ({live_columns}) IS DISTINCT FROM ({next_columns}))
FROM {live} AS live
FULL JOIN {next} AS next USING ({primary_key})
