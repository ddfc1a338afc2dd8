DELETE FROM {schema}.attempts WHERE kind = %(kind)s AND digest = %(digest)s
