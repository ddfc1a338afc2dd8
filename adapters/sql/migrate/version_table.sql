-- Which steps a log's schema has taken, one row each. Made in the transaction of the first step.
CREATE SCHEMA IF NOT EXISTS {schema};
CREATE TABLE IF NOT EXISTS {schema}.schema_version (
    version bigint PRIMARY KEY,
    step text NOT NULL,
    at timestamptz NOT NULL DEFAULT now()
);
