-- New rows of one read model.
COPY {table} ({columns}) FROM STDIN (FORMAT binary)
