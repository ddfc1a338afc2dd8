-- The live set's positions and the other set's change places, as their tables do.
WITH were AS (
    SELECT log, projection, position, at, last_error, shape FROM {live}.position
), gone AS (
    UPDATE {live}.position AS live
    SET position = next.position, at = next.at, last_error = next.last_error, shape = next.shape
    FROM {next}.position AS next
    WHERE next.log = live.log AND next.projection = live.projection
)
UPDATE {next}.position AS next
SET position = were.position, at = were.at, last_error = were.last_error, shape = were.shape
FROM were
WHERE were.log = next.log AND were.projection = next.projection
