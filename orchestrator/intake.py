"""What becomes of one message that the broker hands out: handled, given back, or parked.

The wire may carry anything. What cannot be read is parked with the reason and never comes again; what cannot
be handled now comes again for as long as it takes; what fails again and again, which is a bug of ours, is
taken apart, so that one bad item does not take its neighbours with it, and what still fails is parked. None
of that ends the process: a message that ends the process would come again and end the next one.

Parking loses nothing. Whatever a saga still owes, the watchdog sends again in a new message, so a good one
that was parked by mistake costs time.

Safe to run twice: the ack comes after the commit, and whoever handles a message again finds it done.
"""

import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final, Protocol

from domain.refusals import Busy
from orchestrator.messages import Undelivered

logger = logging.getLogger(__name__)

RETRY_AFTER_S: Final = 1.0
"""When the log or the wire was busy, how long until the message is handed out again."""

FAILED_PAUSES_S: Final = (1.0, 2.0, 5.0, 10.0)
"""Seconds before what failed comes again, by how often it was handed out; after them it is taken apart."""

OUTCOMES: Final[Mapping[str, str]] = {
    "handled": "done, and acknowledged",
    "again-busy": "our log was busy or away: it comes again",
    "again-undelivered": "the wire did not take our answer: it comes again",
    "again-failed": "handling it failed, which is a bug of ours: it comes again, a few times",
    "again-not-parked": "it should be parked, but Postgres is away: it comes again",
    "parked-unreadable": "no message that this version can read",
    "parked-failed": "handling it failed each time",
    "unheard": "the broker did not hear what became of it: it comes again",
}
"""Every word that is counted, and what it says of one message."""


class Poison(ValueError):
    """A message that nobody can read; it will not get better by being delivered again."""


class ParkingUnavailable(OSError):
    """The parked messages cannot be reached now; nothing was parked."""


class Delivery(Protocol):
    """One message, as the broker hands it out.

    `deliveries`: how often it was handed out, 1 the first time. `place`: names the message for as long as its
    stream lives.
    """

    @property
    def subject(self) -> str: ...
    @property
    def data(self) -> bytes: ...
    @property
    def deliveries(self) -> int: ...
    @property
    def place(self) -> str: ...

    async def ack(self) -> None:
        """It is done. Raises Undelivered when the broker did not hear it."""
        ...

    async def again(self, after_s: float) -> None:
        """The broker hands it out again. Raises Undelivered."""
        ...

    async def drop(self) -> None:
        """The broker never hands it out again. Raises Undelivered."""
        ...


@dataclass(frozen=True, slots=True)
class Parked:
    """A message that was taken off the wire, and why."""

    place: str
    subject: str
    reason: str
    data: bytes
    at: datetime


class ParkingLot(Protocol):
    async def park(self, parked: Parked) -> None:
        """Keeps it; the same place twice is one. Raises ParkingUnavailable."""
        ...


Handler = Callable[[Sequence[Any]], Awaitable[None]]
"""Returns when the effect of all items is committed and answered. Raises Busy or Undelivered to get them
again; whatever else it raises is a bug."""


class Intake:
    """Takes the messages of one consumer, as many at once as its caller likes."""

    def __init__(
        self,
        *,
        decode: Callable[[bytes], Sequence[Any]],
        handler: Handler,
        parking: ParkingLot,
        clock: Callable[[], datetime],
        count: Callable[[str], object],
    ) -> None:
        self._decode = decode
        self._handler = handler
        self._parking = parking
        self._clock = clock
        self._count = count

    async def take(self, delivery: Delivery) -> None:
        """Never raises, but for a cancellation: the message is done, parked or comes again."""
        try:
            self._count(await self._take(delivery))
        except Undelivered as error:
            logger.warning("the broker did not hear what became of %s: %s", delivery.place, error)
            self._count("unheard")
        except Exception:
            # The last wall. The broker hears nothing, so it hands the message out again after its own pause.
            logger.exception("message %s on %s could not be dealt with", delivery.place, delivery.subject)
            self._count("unheard")

    async def _take(self, delivery: Delivery) -> str:
        try:
            items = self._decode(delivery.data)
        except Poison as error:
            logger.error("message %s on %s cannot be read: %s", delivery.place, delivery.subject, error)
            return await self._park(delivery, str(error), "parked-unreadable")
        except Exception as error:
            logger.exception("message %s on %s could not be read", delivery.place, delivery.subject)
            return await self._park(delivery, f"{type(error).__name__}: {error}", "parked-unreadable")
        try:
            await self._handler(items)
        except (Busy, Undelivered) as error:
            return await self._later(delivery, error)
        except Exception:
            logger.exception("message %s on %s failed", delivery.place, delivery.subject)
            return await self._failed(delivery, items)
        await delivery.ack()
        return "handled"

    async def _failed(self, delivery: Delivery, items: Sequence[Any]) -> str:
        if delivery.deliveries <= len(FAILED_PAUSES_S):
            await delivery.again(FAILED_PAUSES_S[delivery.deliveries - 1])
            return "again-failed"
        failures: list[str] = []
        for item in items:
            try:
                await self._handler([item])
            except (Busy, Undelivered) as error:
                return await self._later(delivery, error)
            except Exception as error:
                logger.exception("an item of message %s failed: %.500r", delivery.place, item)
                failures.append(f"{type(error).__name__}: {error}")
        if failures:
            reason = f"{len(failures)} of {len(items)} items failed: {failures[0]}"
            return await self._park(delivery, reason, "parked-failed")
        await delivery.ack()
        return "handled"

    async def _later(self, delivery: Delivery, error: Busy | Undelivered) -> str:
        """For as long as it takes: nothing is wrong with the message."""
        outcome = "again-busy" if isinstance(error, Busy) else "again-undelivered"
        return await self._again(delivery, outcome, error)

    async def _again(self, delivery: Delivery, outcome: str, error: Exception) -> str:
        logger.warning("message %s comes again: %s", delivery.place, error)
        await delivery.again(RETRY_AFTER_S)
        return outcome

    async def _park(self, delivery: Delivery, reason: str, outcome: str) -> str:
        """Parked first, then dropped: a crash in between parks it twice, which the place makes one."""
        parked = Parked(delivery.place, delivery.subject, reason, delivery.data, self._clock())
        try:
            await self._parking.park(parked)
        except ParkingUnavailable as error:
            return await self._again(delivery, "again-not-parked", error)
        await delivery.drop()
        return outcome
