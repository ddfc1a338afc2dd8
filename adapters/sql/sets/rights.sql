-- Statements that give a set's tables the owners of the live ones and exactly the rights that stand on those:
-- what default privileges gave the new tables is taken back first, in the order of the numbers.
WITH pair AS (
    SELECT c.relname, c.oid AS live, n.oid AS next, c.relowner,
        pg_get_userbyid(c.relowner) AS owner, c.relacl AS live_acl, n.relacl AS next_acl
    FROM pg_class AS c
    JOIN pg_class AS n ON n.relname = c.relname AND n.relnamespace = %(schema)s::regnamespace
    WHERE c.relnamespace = %(live)s::regnamespace AND c.relname = ANY(%(tables)s)
), rights AS (
    SELECT 1 AS step, format('ALTER TABLE %%I.%%I OWNER TO %%I', %(schema)s::text, relname, owner) AS statement
    FROM pair
    WHERE owner <> pg_get_userbyid((SELECT relowner FROM pg_class WHERE oid = next))
    UNION ALL
    SELECT 2, format(
        'REVOKE ALL ON %%I.%%I FROM %%s', %(schema)s::text, relname,
        CASE old.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(old.grantee)) END)
    FROM pair CROSS JOIN LATERAL aclexplode(next_acl) AS old
    WHERE old.grantee <> (SELECT relowner FROM pg_class WHERE oid = next)
    UNION ALL
    SELECT 3, format(
        'GRANT %%s ON %%I.%%I TO %%s%%s', granted.privilege_type, %(schema)s::text, relname,
        CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(granted.grantee)) END,
        CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pair CROSS JOIN LATERAL aclexplode(live_acl) AS granted
    WHERE granted.grantee <> relowner
    UNION ALL
    SELECT 3, format(
        'GRANT %%s (%%I) ON %%I.%%I TO %%s%%s', granted.privilege_type, a.attname, %(schema)s::text, relname,
        CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(granted.grantee)) END,
        CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END)
    FROM pair
    JOIN pg_attribute AS a ON a.attrelid = live AND a.attnum > 0 AND NOT a.attisdropped
    JOIN pg_attribute AS b ON b.attrelid = next AND b.attname = a.attname AND NOT b.attisdropped
    CROSS JOIN LATERAL aclexplode(a.attacl) AS granted
)
SELECT statement FROM rights ORDER BY step, statement
