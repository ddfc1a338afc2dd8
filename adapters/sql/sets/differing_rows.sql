-- Rows in which two sets differ, as they are in each; null where one has no such row.
SELECT CASE WHEN live.{key} IS NOT NULL THEN to_jsonb(live) END, CASE WHEN next.{key} IS NOT NULL THEN to_jsonb(next) END
FROM {live} AS live
FULL JOIN {next} AS next USING ({primary_key})
WHERE ({live_columns}) IS DISTINCT FROM ({next_columns})
ORDER BY {primary_key}
LIMIT %(limit)s
