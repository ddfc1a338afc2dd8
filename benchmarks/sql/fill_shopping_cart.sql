-- Five lines a user.
INSERT INTO {schema}.shopping_cart
SELECT
    user_id, 1 + (user_id * 13 + place * 101) %% %(goods)s, 1 + place, place < 3, %(start)s, %(start)s, place
FROM generate_series(1, %(users)s::bigint) AS user_id, generate_series(0, 4) AS place
