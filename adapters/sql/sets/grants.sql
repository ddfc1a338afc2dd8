-- What roles may do with the live tables, as statements that allow them the same with the tables of a set.
SELECT format(
    'GRANT %%s ON %%I.%%I TO %%s%%s',
    granted.privilege_type, %(schema)s::text, c.relname,
    CASE granted.grantee WHEN 0 THEN 'PUBLIC' ELSE quote_ident(pg_get_userbyid(granted.grantee)) END,
    CASE WHEN granted.is_grantable THEN ' WITH GRANT OPTION' ELSE '' END
)
FROM pg_class AS c
CROSS JOIN LATERAL aclexplode(c.relacl) AS granted
WHERE c.relnamespace = %(live)s::regnamespace AND c.relname = ANY(%(tables)s) AND granted.grantee <> c.relowner
