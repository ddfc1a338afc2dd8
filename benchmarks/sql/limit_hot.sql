-- For pgbench: everybody wants the same two goods.
\set buyer random(1, 1000000)
SELECT by_hand.place(:buyer, 1, 2);
