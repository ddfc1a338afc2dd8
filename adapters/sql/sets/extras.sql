-- What somebody added to a live table and a rebuilt one has not: it would stay with the old set.
SELECT 'row security would be lost' FROM pg_class
WHERE oid = format('%%I.%%I', %(live)s::text, %(table)s::text)::regclass AND relrowsecurity
UNION ALL
SELECT format('index %%s would be lost', c.relname)
FROM pg_index AS i
JOIN pg_class AS c ON c.oid = i.indexrelid
WHERE i.indrelid = format('%%I.%%I', %(live)s::text, %(table)s::text)::regclass
AND NOT EXISTS (
    SELECT FROM pg_index AS j JOIN pg_class AS d ON d.oid = j.indexrelid
    WHERE j.indrelid = format('%%I.%%I', %(schema)s::text, %(table)s::text)::regclass AND d.relname = c.relname
)
UNION ALL
SELECT format('trigger %%s would be lost', tgname) FROM pg_trigger
WHERE tgrelid = format('%%I.%%I', %(live)s::text, %(table)s::text)::regclass AND NOT tgisinternal
UNION ALL
SELECT format('publication %%s would go on with the old table', p.pubname)
FROM pg_publication_rel AS r JOIN pg_publication AS p ON p.oid = r.prpubid
WHERE r.prrelid = format('%%I.%%I', %(live)s::text, %(table)s::text)::regclass
UNION ALL
SELECT format('statistics %%s would stay with the old table', stxname) FROM pg_statistic_ext
WHERE stxrelid = format('%%I.%%I', %(live)s::text, %(table)s::text)::regclass
UNION ALL
SELECT format('foreign key %%s would stay with the old table', conname) FROM pg_constraint
WHERE contype = 'f' AND confrelid = format('%%I.%%I', %(live)s::text, %(table)s::text)::regclass
