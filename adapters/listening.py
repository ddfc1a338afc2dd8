"""A socket to listen on, bound before anything that takes long to load is."""

import socket


def bound_socket(host: str, port: int) -> socket.socket:
    """Raises OSError when the address cannot be had.

    The protocol is named because asyncio turns Nagle's algorithm off only where it is.
    """
    family = socket.AF_INET6 if ":" in host else socket.AF_INET
    sock = socket.socket(family, socket.SOCK_STREAM, socket.IPPROTO_TCP)
    try:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((host, port))
    except OSError:
        sock.close()
        raise
    return sock
