"""What callers are answered: the documented shape of every answer, each with an example.

Answers are encoded straight from the domain's values; these models document them, and the tests hold
every real answer against its model.
"""

from datetime import datetime
from typing import Any, Literal

from pydantic import BaseModel, ConfigDict, Field

ORDER_EXAMPLE: dict[str, Any] = {
    "order_id": "7300000000000000001",
    "user_id": 7,
    "status": 1,
    "close_reason": None,
    "amount": 2500,
    "pay_type": None,
    "trade_id": None,
    "pay_time": None,
    "pay_before": "2026-11-23T14:33:00Z",
    "refund_due": 0,
    "address": "1 Harbour Street, Ningbo",
    "signer_name": "Ann",
    "signer_mobile": "+86 130 0000 0000",
    "post": "",
    "goods": [{"goods_id": 12, "goods_name": "Blue mug", "goods_price": 1250, "nums": 2}],
    "created_at": "2026-11-23T14:03:00Z",
}
_USER: dict[str, Any] = {
    "user_id": 7,
    "email": "ann@example.com",
    "nickname": "Ann",
    "gender": None,
    "role": 1,
}
_GOODS: dict[str, Any] = {"goods_id": 12, "name": "Blue mug", "price": 1250}
_STOCK: dict[str, Any] = {"goods_id": 12, "stock": 40, "version": 1}
_CART_LINE: dict[str, Any] = {"goods_id": 12, "nums": 2, "checked": True}
_SAGA: dict[str, Any] = {
    "order_id": "7300000000000000001",
    "step": "SELLING",
    "owes": "Sell",
    "since": "2026-11-23T14:03:00Z",
    "tries": 3,
    "next_try_at": "2026-11-23T14:03:15Z",
    "last_error": "inventory has not answered Sell since 2026-11-23 14:03:00 UTC",
}


class Answer(BaseModel):
    model_config = ConfigDict(extra="forbid")


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class UserAnswer(Answer):
    model_config = _example(**_USER)

    user_id: int
    email: str
    nickname: str
    gender: str | None
    role: int = Field(description="1 customer, 2 staff, 3 service")


class SessionAnswer(Answer):
    model_config = _example(
        **{"access_token": "v4.public.eyJzdWIiOiI3In0.eyJraWQiOiJrNC5waWQifQ"},
        access_expires_at="2026-11-23T14:18:00Z",
        **{"refresh_token": f"{'0' * 34}.{'A' * 43}"},
        refresh_expires_at="2026-12-23T14:03:00Z",
        user=_USER,
    )

    access_token: str
    access_expires_at: datetime
    refresh_token: str
    refresh_expires_at: datetime
    user: UserAnswer


class GoodsAnswer(Answer):
    model_config = _example(**_GOODS)

    goods_id: int
    name: str
    price: int


class GoodsBatch(Answer):
    """Answer to `?ids=`. `missing`: ids for which there are no goods."""

    model_config = _example(items=[_GOODS], missing=[99])

    items: list[GoodsAnswer]
    missing: list[int]


class GoodsPage(Answer):
    model_config = _example(items=[_GOODS], next_cursor=None)

    items: list[GoodsAnswer]
    next_cursor: str | None


class StockAnswer(Answer):
    """`version` grows by one with every change of this stock."""

    model_config = _example(**_STOCK)

    goods_id: int
    stock: int
    version: int


class StocksAnswer(Answer):
    model_config = _example(items=[_STOCK])

    items: list[StockAnswer]


class SaleLineAnswer(Answer):
    goods_id: int
    nums: int


class SaleAnswer(Answer):
    model_config = _example(order_id="7300000000000000001", status=1, lines=[{"goods_id": 12, "nums": 2}])

    order_id: str
    status: int = Field(description="1 sold, 2 returned, 3 refused, 4 barred")
    lines: list[SaleLineAnswer]


class RollbackAnswer(Answer):
    """`returned` is false when nothing had been sold; the order id is barred from now on."""

    model_config = _example(order_id="7300000000000000001", returned=True)

    order_id: str
    returned: bool


class CartItemAnswer(Answer):
    """`name` and `price` are null for goods that are not known yet."""

    goods_id: int
    name: str | None
    price: int | None
    nums: int
    checked: bool
    for_sale: bool


class CartAnswer(Answer):
    """`amount`: minor units, of the checked items that are for sale."""

    model_config = _example(
        items=[{**_CART_LINE, "name": "Blue mug", "price": 1250, "for_sale": True}], amount=2500
    )

    items: list[CartItemAnswer]
    amount: int


class CartLineAnswer(Answer):
    goods_id: int
    nums: int
    checked: bool


class CartWritten(Answer):
    """The cart after the change, as its own log has it: names and prices stand in GET /v1/cart."""

    model_config = _example(items=[_CART_LINE])

    items: list[CartLineAnswer]


class OrderGoodsAnswer(Answer):
    goods_id: int
    goods_name: str
    goods_price: int
    nums: int


class OrderAnswer(Answer):
    """`pay_before` is null only for an order that was cancelled before it was placed.

    `address`, `signer_name`, `signer_mobile` and `post` are null once its customer is erased and it ended.
    """

    model_config = _example(**ORDER_EXAMPLE)

    order_id: str
    user_id: int
    status: int = Field(description="1 to pay, 2 paid, 3 closed")
    close_reason: str | None
    amount: int
    pay_type: str | None
    trade_id: str | None
    pay_time: datetime | None
    pay_before: datetime | None
    refund_due: int
    address: str | None
    signer_name: str | None
    signer_mobile: str | None
    post: str | None
    goods: list[OrderGoodsAnswer]
    created_at: datetime


class OrderPage(Answer):
    model_config = _example(items=[ORDER_EXAMPLE], next_cursor=None)

    items: list[OrderAnswer]
    next_cursor: str | None


class UndecidedAnswer(Answer):
    """The order is recorded, and inventory has not answered yet; ask again at `Location`."""

    model_config = _example(order_id="7300000000000000001", step="SELLING")

    order_id: str
    step: str


class TimelineEntry(Answer):
    """One step of an order's story. `since_before_s`: seconds since the step before it."""

    at: datetime
    since_before_s: float
    who: str
    what: str
    detail: str
    event: str
    command_id: str
    log: str
    position: int


class Timeline(Answer):
    model_config = _example(
        items=[
            {
                "at": "2026-11-23T14:03:00Z",
                "since_before_s": 0.0,
                "who": "customer 7",
                "what": "Order started: 1 goods, 2 units, amount 2500; inventory to sell them",
                "detail": "",
                "event": "OrderStarted",
                "command_id": "1f0c9c4e1b7e4f3bb0a1b2c3d4e5f607",
                "log": "order",
                "position": 1024,
            }
        ]
    )

    items: list[TimelineEntry]


class SagaAnswer(Answer):
    """`owes`: the command sent again until it is answered. `last_error`: why it was sent again."""

    model_config = _example(**_SAGA)

    order_id: str
    step: str
    owes: str | None
    since: datetime
    tries: int
    next_try_at: datetime | None
    last_error: str | None


class SagaPage(Answer):
    model_config = _example(items=[_SAGA], next_cursor=None)

    items: list[SagaAnswer]
    next_cursor: str | None


class Health(Answer):
    model_config = _example(status="ok")

    status: Literal["ok"]


class Ready(Answer):
    model_config = _example(status="ok", parts={"order-log": "ok", "nats": "ok"})

    status: Literal["ok"]
    parts: dict[str, str]
