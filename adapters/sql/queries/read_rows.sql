-- All rows of some keys of one read model.
SELECT {columns} FROM {table} WHERE {key} = ANY(%(keys)b)
