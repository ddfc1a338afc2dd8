-- Numbers of users, and of goods.
CREATE SEQUENCE IF NOT EXISTS {schema}.ids;
