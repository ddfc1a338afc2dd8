"""What strangers publish: bytes that are no message, and replies that nobody asked for."""

from typing import Final

from adapters.wire_codec import encode
from domain.refusals import Short
from orchestrator.messages import Reply, RolledBackReply, SellRefusedReply, SoldReply
from tests.simulation.auditor import TERMINAL, Auditor
from tests.simulation.chance import Chance

RUBBISH: Final = (
    b"",
    b"\x00\xff\xfe",
    b"null",
    b"[]",
    b"{",
    b'{"v":1}',
    b'{"v":2,"type":"Sell","items":[]}',
    b'{"v":1,"type":"Refund","items":[]}',
    b'{"v":1,"type":"Sell","items":[{"order_id":"1","lines":[{"goods_id":1,"nums":-3}]}]}',
    b'{"v":1,"type":"Sold","items":[{"order_id":""}]}',
    b'{"v":1,"type":"Sold","items":[{"order_id":17}]}',
    b'{"v":1,"type":"Rollback","items":{"order_id":"1001"}}',
)


def garbage(chance: Chance) -> bytes:
    """Bytes that no version of the wire's format can be."""
    if chance.yes(0.5):
        return RUBBISH[chance.pick(len(RUBBISH))]
    return bytes(chance.pick(256) for _ in range(1 + chance.pick(40)))


def forged(chance: Chance, auditor: Auditor) -> bytes:
    """A well-formed reply that its order cannot be waiting for, now or later."""
    ended = [order_id for order_id, book in auditor.orders.items() if book.step in TERMINAL]
    sold = [order_id for order_id, book in auditor.orders.items() if book.step == "AWAITING_PAYMENT"]
    known = ended + sold
    order_id = known[chance.pick(len(known))] if known and chance.yes(0.8) else "424242"
    replies: list[Reply] = [
        SoldReply(order_id),
        SellRefusedReply(order_id, "stock-short", (Short(1, 9, 0),)),
        RolledBackReply(order_id, True),
    ]
    # An order that waits for its payment may yet be rolled back, and then it would hear that last one.
    reply = replies[chance.pick(2 if order_id in sold else 3)]
    return next(payload for _, _, payload in encode([reply]))
