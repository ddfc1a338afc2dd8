"""The three files that configure the embedded PostgreSQL.

They are written anew at every start. What an operator sets by ALTER SYSTEM is kept elsewhere and wins.
"""

from pathlib import Path

from adapters.server_account import ServerAccount, our_account

PORT = 5432  # only a part of the socket's file name

_CONFIGURATION = """
listen_addresses = ''
port = {port}
unix_socket_directories = '{sockets}'
unix_socket_permissions = 0700
max_connections = 100
cluster_name = 'tillroll'
timezone = 'UTC'

synchronous_commit = on
fsync = {fsync}
full_page_writes = {fsync}
shared_buffers = 256MB
wal_compression = on
max_wal_size = 2GB
jit = off

# A client that stops inside a transaction holds the log's lock and stalls every writer.
idle_in_transaction_session_timeout = 5s
client_connection_check_interval = 5s
tcp_keepalives_idle = 10
tcp_keepalives_interval = 5
tcp_keepalives_count = 3

# Failed statements are answered to the client; version conflicts are normal and would flood the log.
log_min_messages = log
log_min_error_statement = panic
log_checkpoints = off
log_timezone = 'UTC'
log_line_prefix = '%m [%p] '
"""

_ACCESS = """
local all all peer map=owners
local replication all peer map=owners
"""


def postgres_files(sockets: Path, account: ServerAccount, *, fsync: bool) -> dict[str, str]:
    """The text of each file by its name, for a server that `account` runs with its socket in `sockets`."""
    quoted = str(sockets).replace("'", "''")
    configuration = _CONFIGURATION.format(port=PORT, sockets=quoted, fsync="on" if fsync else "off")
    callers = sorted({account.name, our_account().name, "root"})
    identities = "".join(f'owners "{caller}" all\n' for caller in callers)
    return {"postgresql.conf": configuration, "pg_hba.conf": _ACCESS, "pg_ident.conf": identities}
