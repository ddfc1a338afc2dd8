-- One whole read model in the order of its primary key.
SELECT {columns} FROM {table} ORDER BY {primary_key}
