-- For pgbench: two different goods of 10,000.
\set buyer random(1, 1000000)
\set one random(1, 10000)
\set other 1 + (:one + random(0, 9998)) % 10000
SELECT by_hand.place(:buyer, :one, :other);
