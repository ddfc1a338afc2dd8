"""One message of a JetStream consumer, and how the broker is told what became of it."""

from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from adapters.nats_client import ACK_PREFIX, NATS_ERRORS, text_of
from orchestrator.messages import Undelivered

CONFIRM_TIMEOUT_S: Final = 2.0

ACK: Final = b"+ACK"
NAK: Final = b'-NAK {"delay":%d}'
TERM: Final = b"+TERM"


class NatsDelivery:
    """One message. Use it only for messages that `is_stored`.

    An ack is not confirmed by the broker: that costs 70 to 130 us of Python a message, half of what fetching
    it costs besides, and an ack that gets lost only brings back what is safe to handle twice. A client that
    is cut off refuses it at once. The two rare answers are confirmed.
    """

    def __init__(self, client: Client, message: Msg) -> None:
        self._client = client
        self._reply = message.reply
        metadata = message.metadata
        self.subject = message.subject
        self.data = message.data
        self.deliveries = metadata.num_delivered
        self.place = f"{metadata.stream}/{metadata.sequence.stream}"

    async def ack(self) -> None:
        try:
            await self._client.publish(self._reply, ACK)
        except NATS_ERRORS as error:
            raise Undelivered(text_of(error)) from error

    async def again(self, after_s: float) -> None:
        await self._confirmed(NAK % round(after_s * 1e9))

    async def drop(self) -> None:
        await self._confirmed(TERM)

    async def _confirmed(self, what: bytes) -> None:
        """Raises Undelivered."""
        try:
            await self._client.request(self._reply, what, timeout=CONFIRM_TIMEOUT_S)
        except NATS_ERRORS as error:
            raise Undelivered(text_of(error)) from error


def is_stored(message: Msg) -> bool:
    """Whether it comes out of a stream. Anything else on our inbox was sent by nobody who should.

    The broker lets no client publish with such a reply subject, but for the bare prefix.
    """
    return message.reply.startswith(ACK_PREFIX) and len(message.reply) > len(ACK_PREFIX)
