"""Example facts of refusals, for the documentation."""

from collections.abc import Mapping
from typing import Any, Final

from adapters.http_errors import BadHeader, BadJson, Internal, Invalid, NotReady
from adapters.open_orders import TooManyOpenOrders
from adapters.user_attempts import TooManyAttempts
from domain.refusals import (
    AlreadyReturned,
    GoodsUnavailable,
    NoSuchCartLine,
    NoSuchGoods,
    NothingOwed,
    OrderAlreadyClosed,
    Refusal,
    StockShort,
    WrongAmount,
)

_ORDER_ID = "7300000000000000001"

FACTS: Final[Mapping[type[Refusal], Mapping[str, Any]]] = {
    Invalid: {"errors": [{"where": "body.items[0].nums", "what": "must be at least 1"}]},
    BadJson: {"errors": [{"where": "body", "what": "is not JSON: Expecting value at character 9"}]},
    BadHeader: {"header": "Tillroll-After", "expected": "<log>=<n>[,<log>=<n>]"},
    Internal: {"id": "1f0c9c4e1b7e4f3bb0a1b2c3d4e5f607"},
    NotReady: {"parts": {"order-log": "ok", "nats": "not connected"}},
    TooManyAttempts: {"retry_after_s": 4},
    TooManyOpenOrders: {"limit": 10_000, "open": 10_000},
    NoSuchGoods: {"missing": [99]},
    NoSuchCartLine: {"goods_id": 12},
    StockShort: {"short": [{"goods_id": 12, "wanted": 2, "available": 1}], "order_id": _ORDER_ID},
    AlreadyReturned: {"order_id": _ORDER_ID},
    GoodsUnavailable: {"missing": [12]},
    OrderAlreadyClosed: {"order_id": _ORDER_ID, "refund_due": 2500},
    NothingOwed: {"order_id": _ORDER_ID, "step": "PAID"},
    WrongAmount: {"expected": 2500, "got": 2400},
}
