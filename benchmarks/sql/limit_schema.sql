-- The shop that somebody in a hurry writes by hand: no log, no saga, no broker, one function an order.
-- It does what our saga does to the same things: stock, the record of the sale, order, lines and cart.
DROP SCHEMA IF EXISTS by_hand CASCADE;
CREATE SCHEMA by_hand;

-- Room on every page: a row whose stock changes stays where it is, and its index is left alone.
CREATE TABLE by_hand.goods (
    goods_id integer PRIMARY KEY,
    name text NOT NULL,
    price bigint NOT NULL,
    stock integer NOT NULL,
    version integer NOT NULL DEFAULT 0
) WITH (fillfactor = 50);

CREATE TABLE by_hand.sale (
    order_id bigint PRIMARY KEY,
    status smallint NOT NULL,
    detail jsonb NOT NULL
);

CREATE TABLE by_hand.order_info (
    order_id bigint PRIMARY KEY,
    user_id integer NOT NULL,
    status smallint NOT NULL,
    amount bigint NOT NULL,
    address text NOT NULL,
    signer_name text NOT NULL,
    signer_mobile text NOT NULL,
    post text NOT NULL,
    created_at timestamptz NOT NULL DEFAULT now()
);
CREATE INDEX order_info_user ON by_hand.order_info (user_id);

CREATE TABLE by_hand.order_line (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    order_id bigint NOT NULL,
    goods_id integer NOT NULL,
    goods_name text NOT NULL,
    goods_price bigint NOT NULL,
    nums integer NOT NULL
);
CREATE INDEX order_line_order ON by_hand.order_line (order_id);

CREATE TABLE by_hand.cart_line (
    user_id integer NOT NULL,
    goods_id integer NOT NULL,
    nums integer NOT NULL,
    checked boolean NOT NULL,
    PRIMARY KEY (user_id, goods_id)
);

CREATE SEQUENCE by_hand.order_ids;

-- One unit of each of two different goods. The order id, or NULL when one of them is sold out.
-- Rows are locked in the order of their ids, so that two orders of the same goods never wait for each other.
CREATE FUNCTION by_hand.place(buyer integer, one integer, other integer) RETURNS bigint LANGUAGE plpgsql AS $$
DECLARE
    low constant integer := least(one, other);
    high constant integer := greatest(one, other);
    placed bigint;
    low_name text; low_price bigint;
    high_name text; high_price bigint;
BEGIN
    UPDATE by_hand.goods SET stock = stock - 1, version = version + 1 WHERE goods_id = low AND stock >= 1
        RETURNING name, price INTO low_name, low_price;
    IF NOT FOUND THEN
        RETURN NULL;
    END IF;
    UPDATE by_hand.goods SET stock = stock - 1, version = version + 1 WHERE goods_id = high AND stock >= 1
        RETURNING name, price INTO high_name, high_price;
    IF NOT FOUND THEN
        UPDATE by_hand.goods SET stock = stock + 1, version = version + 1 WHERE goods_id = low;
        RETURN NULL;
    END IF;
    placed := nextval('by_hand.order_ids');
    INSERT INTO by_hand.sale VALUES (placed, 1, jsonb_build_array(low, high));
    INSERT INTO by_hand.order_info (order_id, user_id, status, amount, address, signer_name, signer_mobile, post)
        VALUES (placed, buyer, 1, low_price + high_price,
                '1 High Street, London', 'Ann Example', '07700 900000', 'leave at the door');
    INSERT INTO by_hand.order_line (order_id, goods_id, goods_name, goods_price, nums)
        VALUES (placed, low, low_name, low_price, 1), (placed, high, high_name, high_price, 1);
    DELETE FROM by_hand.cart_line WHERE user_id = buyer AND checked;
    RETURN placed;
END $$;
