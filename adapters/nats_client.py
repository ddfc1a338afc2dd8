"""The broker's client, for a wire on which anybody may put anything.

The library stops reading, silently and until its pings go unanswered, at a subject or a header that is not
UTF-8; and it takes a stored message with a `Status` header for word from the broker itself, so that the
message is never handled and never acknowledged. Both would come again and again.
"""

import logging
from collections.abc import Sequence
from typing import Any, Final

import nats.errors
import nats.js.errors
from nats.aio.client import Client

logger = logging.getLogger(__name__)

NATS_ERRORS: Final = (nats.errors.Error, nats.js.errors.Error, OSError, TimeoutError)
"""What a call of the client may raise when the broker is away or refuses."""

ACK_PREFIX: Final = "$JS.ACK."
"""How the reply subject begins of every message that comes out of a stream, and of no other."""


class SturdyClient(Client):
    """Reads on, whatever arrives. Two of the library's own steps, so its version is pinned."""

    def _build_message(
        self, sid: int, subject: bytes, reply: bytes, data: bytes, headers: dict[str, str] | None
    ) -> Any:
        """Headers of a stored message are a stranger's words, and nobody here needs them."""
        is_stored = reply.startswith(ACK_PREFIX.encode())
        return self.msg_class(
            subject=subject.decode(errors="backslashreplace"),
            reply=reply.decode(errors="backslashreplace"),
            data=data,
            headers=None if is_stored else headers,
            _client=self,
            _sid=sid,
        )

    async def _process_headers(self, headers: bytes) -> dict[str, str] | None:
        try:
            found: dict[str, str] | None = await super()._process_headers(headers)
        except (ValueError, IndexError) as error:
            logger.warning("a message has headers that cannot be read: %s", error)
            return None
        return found


async def connect(urls: Sequence[str] | str, credentials: str | None = None) -> Client:
    """A client that never gives up, notices a dead link in 20 s and buffers nothing while it is down."""
    client = SturdyClient()
    await client.connect(
        [urls] if isinstance(urls, str) else list(urls),
        user_credentials=credentials,
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.5,  # type: ignore[arg-type]  # it is slept, so a fraction is fine
        ping_interval=10,
        max_outstanding_pings=2,
        pending_size=0,
        connect_timeout=5,
        error_cb=_log_error,
    )
    return client


async def _log_error(error: Exception) -> None:
    logger.warning("broker: %s", text_of(error))


def text_of(error: BaseException) -> str:
    """Its message, or its name where it has none."""
    return str(error) or type(error).__name__
