-- Keys of persons, beside the log and never in it: what is deleted here can never be read again anywhere.
-- The placeholder is the schema of the user log.

CREATE TABLE IF NOT EXISTS {schema}.personal_keys (
    user_id bigint PRIMARY KEY,
    wrapped text NOT NULL,
    made_at timestamptz NOT NULL DEFAULT now()
);

-- Of erased users: keys of orders that are still to be delivered, each opens that order's data and no more.
CREATE TABLE IF NOT EXISTS {schema}.kept_keys (
    order_id bigint PRIMARY KEY,
    user_id bigint NOT NULL,
    wrapped text NOT NULL,
    kept_at timestamptz NOT NULL DEFAULT now()
);

-- Which key of the key file wraps now; '' before the first rotation. Whoever stores a wrapped key holds this row
-- meanwhile, so a rotation that has changed it has no key wrapped with the old one behind its back.
CREATE TABLE IF NOT EXISTS {schema}.wrapping (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    name text NOT NULL
);
INSERT INTO {schema}.wrapping (name) VALUES ('') ON CONFLICT DO NOTHING;

-- Up to where in the user log every erasure has been carried out.
CREATE TABLE IF NOT EXISTS {schema}.erasures (
    one boolean PRIMARY KEY DEFAULT true CHECK (one),
    position bigint NOT NULL
);
INSERT INTO {schema}.erasures (position) VALUES (0) ON CONFLICT DO NOTHING;
