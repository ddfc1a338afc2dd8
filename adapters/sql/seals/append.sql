INSERT INTO {schema}.seals (
    number, first_position, last_position, events, root, previous, sealed_at, key_id, signature, marks
) VALUES (
    %(number)s, %(first)s, %(last)s, %(count)s, %(root)s, %(previous)s, %(sealed_at)s, %(key_id)s,
    %(signature)s, %(marks)s
)
