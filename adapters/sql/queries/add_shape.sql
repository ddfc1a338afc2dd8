ALTER TABLE {schema}.position ADD COLUMN IF NOT EXISTS shape text
