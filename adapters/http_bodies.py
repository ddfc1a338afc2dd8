"""What callers send: one model for each body, with the example that the documentation shows."""

from collections.abc import Iterable
from typing import Annotated, Any, Final

from pydantic import AfterValidator, ConfigDict, Field, GetJsonSchemaHandler, model_validator
from pydantic.json_schema import JsonSchemaValue
from pydantic_core import CoreSchema

from adapters.http_fields import (
    ActReason,
    Address,
    Amount,
    AnyEmail,
    AnyPassword,
    Body,
    Delta,
    Email,
    Gender,
    GoodsId,
    GoodsName,
    Nickname,
    Nums,
    OrderId,
    Password,
    PayType,
    Post,
    Price,
    Reason,
    RefreshToken,
    RoleNumber,
    SignerMobile,
    SignerName,
    Stock,
    TradeId,
    without_null,
)
from domain.limits import MAX_LINES, MAX_NUMS

MAX_STOCK_ITEMS: Final = 5_000
"""Goods in one PUT /v1/inventory."""


_CREDENTIALS: Final = {"email": "ann@example.com", "password": "correct horse battery"}


def _example(**fields: Any) -> ConfigDict:
    return ConfigDict(json_schema_extra={"examples": [fields]})


class Change(Body):
    """A PATCH: what is left out stays as it is."""

    @classmethod
    def __get_pydantic_json_schema__(cls, core: CoreSchema, handler: GetJsonSchemaHandler) -> JsonSchemaValue:
        """The document offers neither null nor a change of nothing, as both are refused."""
        shown = handler(core)
        schema = handler.resolve_ref_schema(shown)
        schema["properties"] = {name: without_null(field) for name, field in schema["properties"].items()}
        schema["minProperties"] = 1
        return shown

    @model_validator(mode="before")
    @classmethod
    def _says_something(cls, given: Any) -> Any:
        if isinstance(given, dict):
            if not given:
                raise ValueError("must name at least one field")
            nulls = sorted(name for name, value in given.items() if value is None)
            if nulls:
                raise ValueError(f"{nulls[0]} must not be null; leave it out to keep it")
        return given


# users


class NewUser(Body):
    model_config = _example(**_CREDENTIALS, nickname="Ann")

    email: Email
    password: Password
    nickname: Nickname
    gender: Gender | None = None


class LogIn(Body):
    model_config = _example(**_CREDENTIALS)

    email: AnyEmail
    password: AnyPassword


class Refresh(Body):
    model_config = _example(refresh_token=f"{'0' * 34}.{'A' * 43}")

    refresh_token: RefreshToken


class ProfileChange(Change):
    """A new password needs the current one."""

    model_config = ConfigDict(
        json_schema_extra={
            "dependentRequired": {"password": ["current_password"], "current_password": ["password"]},
            "examples": [{"nickname": "Ann B."}],
        }
    )

    nickname: Nickname | None = None
    gender: Gender | None = None
    password: Password | None = None
    current_password: AnyPassword | None = None

    @model_validator(mode="after")
    def _both_passwords(self) -> "ProfileChange":
        if (self.password is None) != (self.current_password is None):
            raise ValueError("password and current_password go together")
        return self


class RoleChange(Body):
    model_config = _example(role=2)

    role: RoleNumber


# goods


class NewGoods(Body):
    model_config = _example(name="Blue mug", price=1250)

    name: GoodsName
    price: Price


class GoodsChange(Change):
    model_config = _example(price=1150)

    name: GoodsName | None = None
    price: Price | None = None


# inventory


class StockLevel(Body):
    model_config = _example(stock=40)

    stock: Stock


class StockItem(Body):
    goods_id: GoodsId
    stock: Stock


def _no_goods_twice(items: list[StockItem]) -> list[StockItem]:
    # Which of two counts is right cannot be told.
    twice = _first_twice(item.goods_id for item in items)
    if twice is not None:
        raise ValueError(f"names goods {twice} twice")
    return items


class StockLevels(Body):
    model_config = _example(items=[{"goods_id": 12, "stock": 40}, {"goods_id": 13, "stock": 7}])

    items: Annotated[
        list[StockItem], Field(min_length=1, max_length=MAX_STOCK_ITEMS), AfterValidator(_no_goods_twice)
    ]


class Adjustment(Body):
    model_config = _example(delta=-2, reason="broken in the store room")

    delta: Delta
    reason: Reason


class SellLine(Body):
    goods_id: GoodsId
    nums: Nums


class SellOrder(Body):
    model_config = _example(order_id="7300000000000000001", lines=[{"goods_id": 12, "nums": 2}])

    order_id: OrderId
    lines: Annotated[list[SellLine], Field(min_length=1, max_length=MAX_LINES)]


class RollbackOrder(Body):
    model_config = _example(order_id="7300000000000000001")

    order_id: OrderId


# cart


class CartItem(Body):
    goods_id: GoodsId
    nums: Nums
    checked: bool = True


def _fold_fits(items: list[CartItem]) -> list[CartItem]:
    """Items of the same goods are added up, and the sum has the limit of one."""
    if _first_twice(item.goods_id for item in items) is not None:
        sums: dict[int, int] = {}
        for item in items:
            sums[item.goods_id] = sums.get(item.goods_id, 0) + item.nums
        if max(sums.values()) > MAX_NUMS:
            raise ValueError(f"names more than {MAX_NUMS} units of one goods in all")
    return items


class CartLines(Body):
    model_config = _example(items=[{"goods_id": 12, "nums": 2, "checked": True}])

    items: Annotated[list[CartItem], Field(max_length=MAX_LINES), AfterValidator(_fold_fits)]


class CartLineLevel(Body):
    model_config = _example(nums=2, checked=True)

    nums: Nums
    checked: bool = True


class CartLineChange(Change):
    model_config = _example(checked=False)

    nums: Nums | None = None
    checked: bool | None = None


# orders


class NewOrder(Body):
    model_config = _example(
        address="1 Harbour Street, Ningbo", signer_name="Ann", signer_mobile="+86 130 0000 0000", post=""
    )

    address: Address
    signer_name: SignerName
    signer_mobile: SignerMobile
    post: Annotated[Post, Field(description="a word to the shop")] = ""


class NewPayment(Body):
    model_config = _example(pay_type="alipay", trade_id="2026112322001", amount=2500)

    pay_type: PayType
    trade_id: TradeId
    amount: Amount


# sagas


class SagaAct(Body):
    model_config = _example(reason="the broker is back after an hour")

    reason: ActReason


def _first_twice(goods_ids: Iterable[int]) -> int | None:
    seen: set[int] = set()
    for goods_id in goods_ids:
        if goods_id in seen:
            return goods_id
        seen.add(goods_id)
    return None
