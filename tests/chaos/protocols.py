"""Just enough of two wire protocols to know which bytes are which answer. Pure: bytes in, pieces out.

PostgreSQL: https://www.postgresql.org/docs/18/protocol-message-formats.html
NATS: https://docs.nats.io/reference/reference-protocols/nats-protocol
"""

from collections.abc import Iterator
from dataclasses import dataclass
from struct import unpack_from
from typing import Final

ENCRYPTION_REQUESTS: Final = frozenset({80877103, 80877104})
"""Codes of SSLRequest and GSSENCRequest; each is answered by a single byte without a length."""

IDLE: Final = b"I"
"""What ReadyForQuery says outside of a transaction."""

POSITION_COLUMN: Final = b"notification_id\0"
"""What an append to a log returns, so it stands in the description of its rows."""


@dataclass(frozen=True, slots=True)
class Piece:
    """Bytes to forward together, and what they are; `kind` is empty where nobody cares."""

    data: bytes
    kind: str = ""


class PostgresAnswers:
    """What a PostgreSQL server sends to one client, cut into messages.

    A CommandComplete "COMMIT" is of the kind `stored` when its transaction appended to a log, else
    `commit`. The server says it only after the commit is durable, and says ROLLBACK to a COMMIT that failed.
    An append that is a transaction by itself is `stored` by the ReadyForQuery "idle" behind it: what comes
    before is sent before the commit.
    """

    def __init__(self) -> None:
        self._waiting = b""
        self._bare_bytes = 0
        self._returns_positions = False
        self._appended = False

    def hear_client(self, data: bytes) -> None:
        """Only what changes how the answers are read: a client that asks for encryption."""
        if len(data) == 8 and unpack_from("!I", data, 4)[0] in ENCRYPTION_REQUESTS:
            self._bare_bytes += 1

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._waiting += data
        if self._bare_bytes and self._waiting:
            bare, self._bare_bytes = self._bare_bytes, 0
            yield Piece(self._waiting[:bare])
            self._waiting = self._waiting[bare:]
        start = quiet_from = 0
        while len(self._waiting) >= start + 5:
            end = start + 1 + unpack_from("!I", self._waiting, start + 1)[0]
            if len(self._waiting) < end:
                break
            kind = self._kind(self._waiting[start : start + 1], self._waiting, start + 5, end)
            if kind:
                yield Piece(self._waiting[quiet_from:start])
                yield Piece(self._waiting[start:end], kind)
                quiet_from = end
            start = end
        yield Piece(self._waiting[quiet_from:start])
        self._waiting = self._waiting[start:]

    def _kind(self, code: bytes, data: bytes, start: int, end: int) -> str:
        if code == b"T":
            self._returns_positions = data.find(POSITION_COLUMN, start, end) >= 0
        if code == b"E" or (code == b"Z" and data[start : start + 1] == IDLE):
            stored, self._appended = self._appended and code == b"Z", False
            return "stored" if stored else ""
        if code != b"C":
            return ""
        if data.startswith(b"INSERT ", start):
            self._appended = self._appended or self._returns_positions
        self._returns_positions = False
        if not data.startswith((b"COMMIT\0", b"ROLLBACK\0"), start):
            return ""
        appended, self._appended = self._appended, False
        if data.startswith(b"ROLLBACK", start):
            return ""
        return "stored" if appended else "commit"


class NatsFrames:
    """One direction of a NATS connection, cut into frames.

    From the server: `pub ack` (JetStream has stored a message) and `delivery` (a message of a stream).
    From the client: `ack` (a message was handled) and `publish` (to one of the streams of `prefix`).
    """

    def __init__(self, prefix: str = "tillroll") -> None:
        self._waiting = b""
        self._streams = (f"{prefix}.cmd.".encode(), f"{prefix}.reply.".encode())

    def feed(self, data: bytes) -> Iterator[Piece]:
        self._waiting += data
        start = quiet_from = 0
        while (line_end := self._waiting.find(b"\r\n", start)) >= 0:
            words = self._waiting[start:line_end].split()
            verb = words[0].upper() if words else b""
            has_body = verb in {b"MSG", b"HMSG", b"PUB", b"HPUB"}
            end = line_end + 2 + (int(words[-1]) + 2 if has_body else 0)
            if len(self._waiting) < end:
                break
            kind = self._kind(verb, words, self._waiting[line_end + 2 : end]) if has_body else ""
            if kind:
                yield Piece(self._waiting[quiet_from:start])
                yield Piece(self._waiting[start:end], kind)
                quiet_from = end
            start = end
        yield Piece(self._waiting[quiet_from:start])
        self._waiting = self._waiting[start:]

    def _kind(self, verb: bytes, words: list[bytes], body: bytes) -> str:
        subject = words[1]
        if verb in {b"PUB", b"HPUB"}:
            if subject.startswith(b"$JS.ACK."):
                return "ack"
            return "publish" if subject.startswith(self._streams) else ""
        if verb == b"HMSG":
            body = body[int(words[-2]) :]
        if subject.startswith(b"_INBOX.") and body.startswith(b'{"stream":'):
            return "pub ack"
        replies_to_ack = any(word.startswith(b"$JS.ACK.") for word in words[3:])
        return "delivery" if replies_to_ack else ""
