"""The wire over NATS JetStream: two streams, two durable pull consumers, explicit acks after the commit.

The broker is treated as one that may lose, repeat, reorder, delay or forget everything: when its streams
are gone they are made again, and the sagas' watchdog sends again what was in them.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import msgspec
import nats.js.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js import JetStreamContext
from nats.js.api import (
    AckPolicy,
    ConsumerConfig,
    DiscardPolicy,
    RetentionPolicy,
    StorageType,
    StreamConfig,
)

from adapters.nats_client import NATS_ERRORS, connect, text_of
from adapters.nats_delivery import NatsDelivery
from adapters.nats_pull import Pull
from adapters.wire_codec import encode
from orchestrator.intake import Intake
from orchestrator.loops import wanted
from orchestrator.messages import Command, Reply, Undelivered

__all__ = ["NATS_ERRORS", "NatsWire", "WireMisconfigured", "WireNames", "connect"]

logger = logging.getLogger(__name__)

PUBLISH_TIMEOUT_S: Final = 2.0
ACK_WAIT_S: Final = 30.0
RETRY_AFTER_S: Final = 1.0
"""How long a broker that does not serve us is left alone."""
MAX_ACK_PENDING: Final = 20_000
DUPLICATE_WINDOW_S: Final = 600.0
MAX_AGE_S: Final = 14 * 24 * 3600.0

COMMANDS = "cmd.inventory"
REPLIES = "reply.order"
SHARD: Final = 0
"""Inventory is one shard so far; the subject has the place for more."""


@dataclass(frozen=True, slots=True)
class WireNames:
    """`prefix`: first token of every subject, and in upper case of every stream."""

    prefix: str = "tillroll"
    max_bytes: int = 8 * 2**30

    def stream(self, part: str) -> str:
        return f"{self.prefix}_{part}".upper()

    def subject(self, kind: str, op: str) -> str:
        return f"{self.prefix}.{kind}.{op}.{SHARD}"

    def decided(self) -> str:
        return f"{self.prefix}.decided"

    def streams(self) -> dict[str, str]:
        """Stream name -> the subjects it stores."""
        return {self.stream("cmd"): f"{self.prefix}.cmd.>", self.stream("reply"): f"{self.prefix}.reply.>"}


def stream_config(names: WireNames, name: str, subject: str) -> StreamConfig:
    """Old messages make room for new ones (docs/decisions.md, 3): a full wire must not stop the shop."""
    return StreamConfig(
        name=name,
        subjects=[subject],
        storage=StorageType.FILE,
        retention=RetentionPolicy.LIMITS,
        discard=DiscardPolicy.OLD,
        max_age=MAX_AGE_S,
        max_bytes=names.max_bytes,
        duplicate_window=DUPLICATE_WINDOW_S,
        deny_delete=True,
        deny_purge=True,
    )


def consumer_config(durable: str) -> ConsumerConfig:
    return ConsumerConfig(
        durable_name=durable,
        ack_policy=AckPolicy.EXPLICIT,
        ack_wait=ACK_WAIT_S,
        max_deliver=-1,
        max_ack_pending=MAX_ACK_PENDING,
    )


class WireMisconfigured(RuntimeError):
    """A consumer of this name exists with other settings; the library would silently ignore ours."""


class NatsWire:
    """Sends and receives for every role of this process."""

    def __init__(self, client: Client, names: WireNames) -> None:
        self._client = client
        self._js: JetStreamContext = client.jetstream(timeout=PUBLISH_TIMEOUT_S)
        self._names = names

    # sending

    async def send_commands(self, commands: Sequence[Command]) -> None:
        await self._send(COMMANDS, commands)

    async def send_replies(self, replies: Sequence[Reply]) -> None:
        await self._send(REPLIES, replies)

    async def announce(self, order_ids: Sequence[str]) -> None:
        try:
            await self._client.publish(self._names.decided(), msgspec.json.encode(list(order_ids)))
        except NATS_ERRORS as error:
            raise Undelivered(text_of(error)) from error

    async def _send(self, kind: str, items: Sequence[Any]) -> None:
        messages = [
            self._js.publish(
                self._names.subject(kind, name.lower()),
                payload,
                timeout=PUBLISH_TIMEOUT_S,
                headers={"Tillroll-Orders": str(len(chunk))},
            )
            for name, chunk, payload in encode(items)
        ]
        outcomes = await asyncio.gather(*messages, return_exceptions=True)
        for outcome in outcomes:
            if isinstance(outcome, NATS_ERRORS):
                raise Undelivered(text_of(outcome)) from outcome
            if isinstance(outcome, BaseException):
                raise outcome

    # receiving

    async def serve_commands(self, intake: Intake) -> None:
        await self._serve("cmd", "inventory", intake)

    async def serve_replies(self, intake: Intake) -> None:
        await self._serve("reply", "orchestrator", intake)

    async def hear_decided(self, wake: Callable[[str], None]) -> None:
        """Calls `wake` with each order id that any process announces, until cancelled."""
        subscription = await self._client.subscribe(self._names.decided())
        async for message in subscription.messages:
            try:
                order_ids = msgspec.json.decode(message.data, type=list[str])
            except (msgspec.DecodeError, UnicodeDecodeError, RecursionError) as error:
                logger.warning("an announcement cannot be read: %s", error)
                continue
            for order_id in order_ids:
                wake(order_id)

    async def _serve(self, part: str, durable: str, intake: Intake) -> None:
        """Until cancelled. A broker that is down or wiped is waited for, and set up again."""
        stream = self._names.stream(part)

        async def take(message: Msg) -> None:
            await intake.take(NatsDelivery(self._client, message))

        while wanted():
            try:
                await self.set_up(stream, durable)
                await Pull(self._client, stream, durable, take).run()
            except NATS_ERRORS as error:
                if self._client.is_closed:
                    raise
                logger.warning("the broker does not serve %s: %s", stream, text_of(error))
                await asyncio.sleep(RETRY_AFTER_S)

    # set-up

    async def set_up(self, stream: str, durable: str | None = None) -> None:
        """Makes the stream and the consumer if they are missing. Raises WireMisconfigured."""
        await self._set_up_stream(stream)
        if durable is not None:
            await self._set_up_consumer(stream, durable)

    async def set_up_streams(self) -> None:
        for stream in self._names.streams():
            await self._set_up_stream(stream)

    async def _set_up_stream(self, stream: str) -> None:
        config = stream_config(self._names, stream, self._names.streams()[stream])
        try:
            await self._js.stream_info(stream)
        except nats.js.errors.NotFoundError:
            await self._js.add_stream(config)

    async def _set_up_consumer(self, stream: str, durable: str) -> None:
        wanted = consumer_config(durable)
        try:
            found = (await self._js.consumer_info(stream, durable)).config
        except nats.js.errors.NotFoundError:
            await self._js.add_consumer(stream, wanted)
            return
        for field in ("ack_policy", "ack_wait", "max_deliver", "max_ack_pending", "backoff"):
            if getattr(found, field) != getattr(wanted, field):
                raise WireMisconfigured(
                    f"consumer {durable} of {stream} has {field} {getattr(found, field)},"
                    f" expected {getattr(wanted, field)}: delete the consumer, it is made again"
                )
