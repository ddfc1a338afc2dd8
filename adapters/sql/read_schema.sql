-- The read models. {schema} is `read`, or where a copy is wanted. One section a table: a schema gets the
-- first section, and the tables of the projections that are kept in it. Safe to run again.
-- Everything here can be made again from the logs, so nothing here is worth a foreign key or a check.

-- section: position
CREATE SCHEMA IF NOT EXISTS {schema};

-- One short row per projection, rewritten with every batch: room for updates in place, and a vacuum that
-- does not wait for a large table's share of dead rows.
CREATE TABLE IF NOT EXISTS {schema}.position (
    log text NOT NULL,
    projection text NOT NULL,
    position bigint NOT NULL,
    at timestamptz NOT NULL,
    -- Not in the contract: why the projection stopped, for /readyz of whichever process is asked.
    last_error text,
    -- Not in the contract: Projection.shape of the version that made the tables. Null: from before it was noted.
    shape text,
    PRIMARY KEY (log, projection)
) WITH (fillfactor = 30, autovacuum_vacuum_threshold = 200, autovacuum_vacuum_scale_factor = 0,
        autovacuum_analyze_threshold = 100000);

-- section: user
CREATE TABLE IF NOT EXISTS {schema}."user" (
    id bigint PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    email text NOT NULL,
    nickname text NOT NULL,
    gender text,
    role smallint NOT NULL
);

-- section: goods
CREATE TABLE IF NOT EXISTS {schema}.goods (
    id bigint PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    name text NOT NULL,
    price bigint NOT NULL
);
-- Pages by id, and by name with a prefix. The collation is code point order with full lower-casing, the
-- same on every machine, whatever the database was made with. A long name is cut, as an index entry has a
-- limit and a name must never stop the projection.
CREATE INDEX IF NOT EXISTS goods_for_sale ON {schema}.goods (id) WHERE deleted_at IS NULL;
CREATE INDEX IF NOT EXISTS goods_by_name ON {schema}.goods
    (left(lower(name COLLATE pg_c_utf8), 100), id) WHERE deleted_at IS NULL;

-- section: inventory
-- No second index: every update stays on its page.
CREATE TABLE IF NOT EXISTS {schema}.inventory (
    goods_id bigint PRIMARY KEY,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    deleted_at timestamptz,
    sticks bigint NOT NULL,
    version bigint NOT NULL
) WITH (fillfactor = 50, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);

-- section: stock_sell_detail
CREATE TABLE IF NOT EXISTS {schema}.stock_sell_detail (
    order_id bigint PRIMARY KEY,
    status smallint NOT NULL,
    detail jsonb NOT NULL
);

-- section: shopping_cart
CREATE TABLE IF NOT EXISTS {schema}.shopping_cart (
    user_id bigint NOT NULL,
    goods_id bigint NOT NULL,
    nums bigint NOT NULL,
    checked boolean NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL,
    -- Not in the contract: a cart is answered in the order its lines were put.
    place bigint NOT NULL,
    PRIMARY KEY (user_id, goods_id)
) WITH (autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);

-- section: order_info
CREATE TABLE IF NOT EXISTS {schema}.order_info (
    order_id bigint PRIMARY KEY,
    user_id bigint NOT NULL,
    pay_type text,
    status smallint NOT NULL,
    trade_id text,
    order_mount bigint NOT NULL,
    pay_time timestamptz,
    address text NOT NULL,
    signer_name text NOT NULL,
    signer_mobile text NOT NULL,
    post text NOT NULL,
    close_reason text,
    refund_due bigint NOT NULL,
    pay_before timestamptz NOT NULL,
    created_at timestamptz NOT NULL,
    updated_at timestamptz NOT NULL
);
-- One for each way to ask for a page, so that a page costs the same whatever was asked.
CREATE INDEX IF NOT EXISTS order_info_of_user ON {schema}.order_info (user_id, order_id);
CREATE INDEX IF NOT EXISTS order_info_in_status ON {schema}.order_info (status, order_id);
CREATE INDEX IF NOT EXISTS order_info_of_user_in_status ON {schema}.order_info (user_id, status, order_id);

-- section: order_goods
CREATE TABLE IF NOT EXISTS {schema}.order_goods (
    order_id bigint NOT NULL,
    goods_id bigint NOT NULL,
    goods_name text NOT NULL,
    goods_price bigint NOT NULL,
    nums bigint NOT NULL,
    -- Not in the contract: an order's goods are answered in the order they were ordered.
    place bigint NOT NULL,
    PRIMARY KEY (order_id, goods_id)
);

-- section: order_saga
CREATE TABLE IF NOT EXISTS {schema}.order_saga (
    order_id bigint PRIMARY KEY,
    step text NOT NULL,
    owes text,
    since timestamptz NOT NULL,
    tries bigint NOT NULL,
    next_try_at timestamptz,
    last_error text
) WITH (fillfactor = 70, autovacuum_vacuum_threshold = 1000, autovacuum_vacuum_scale_factor = 0.05);
-- Pages of sagas in one step, of those that owe something, of those that are stuck, and what the watchdog looks
-- for. Those that owe nothing and wait for nothing are in none of the last three, so these stay small.
CREATE INDEX IF NOT EXISTS order_saga_in_step ON {schema}.order_saga (step, since, order_id);
CREATE INDEX IF NOT EXISTS order_saga_under_way ON {schema}.order_saga (since, order_id)
    WHERE owes IS NOT NULL;
CREATE INDEX IF NOT EXISTS order_saga_stuck ON {schema}.order_saga (since, order_id)
    WHERE owes IS NOT NULL AND tries >= 3;
CREATE INDEX IF NOT EXISTS order_saga_waking ON {schema}.order_saga (next_try_at)
    WHERE next_try_at IS NOT NULL;
