"""Types of fields in requests: what is accepted, and in which words it is refused."""

import re
from typing import Annotated, Final

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from adapters import user_email
from domain.limits import MAX_AMOUNT, MAX_NUMS, MAX_PRICE, MAX_REASON_CHARS, MAX_STOCK

MAX_ID: Final = 2**53 - 1
"""Goods and user ids are JSON numbers, so they stay exact in every reader."""

MAX_ORDER_ID: Final = 2**63 - 1
MIN_PASSWORD_BYTES: Final = 8
MAX_PASSWORD_BYTES: Final = 1_024
MAX_PAGE: Final = 200
DEFAULT_PAGE: Final = 50

ONE_LINE: Final = r"^[^\x00-\x1f\x7f-\x9f]*$"
ORDER_ID: Final = r"^[1-9][0-9]{0,18}$"

PATTERNS: Final = {
    ONE_LINE: "must not hold control characters",
    ORDER_ID: "must be an order id: decimal digits, not beginning with 0",
}
"""What a text that does not match is told, because a regular expression tells a person nothing."""

_DIGITS = re.compile(r"[0-9]{1,19}")


class Body(BaseModel):
    """Unknown fields are refused, and nothing is converted: 1.0, "1" and true are not the number 1."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def _digits(text: object) -> object:
    """Pydantic alone would take `1_0`, `+1`, ` 1` and `1.0` in an address for numbers."""
    if isinstance(text, str):
        if not _DIGITS.fullmatch(text):
            raise ValueError("must be a whole number in decimal digits")
        return int(text)
    return text


def _yes_or_no(text: object) -> object:
    """Pydantic alone would take `on`, `1` and `t` as well."""
    if text not in ("true", "false"):
        raise ValueError("must be true or false")
    return text == "true"


def _in_63_bits(order_id: str) -> str:
    if int(order_id) > MAX_ORDER_ID:
        raise ValueError(f"must be at most {MAX_ORDER_ID}")
    return order_id


def _password_size(password: str) -> str:
    if not MIN_PASSWORD_BYTES <= len(password.encode()) <= MAX_PASSWORD_BYTES:
        raise ValueError(f"must be {MIN_PASSWORD_BYTES} to {MAX_PASSWORD_BYTES} bytes long")
    return password


def _one_line(longest: int, *, shortest: int = 1) -> StringConstraints:
    return StringConstraints(strip_whitespace=True, min_length=shortest, max_length=longest, pattern=ONE_LINE)


def _printable(text: str) -> str:
    """No character that is not seen, or that turns a terminal's line around."""
    if not text.isprintable():
        raise ValueError("must hold printable characters only")
    return text


GoodsId = Annotated[int, Field(ge=1, le=MAX_ID)]
GoodsName = Annotated[str, _one_line(200)]
Price = Annotated[int, Field(ge=0, le=MAX_PRICE, description="minor units of the shop's currency")]
Stock = Annotated[int, Field(ge=0, le=MAX_STOCK, description="units on hand")]
Delta = Annotated[int, Field(ge=-MAX_STOCK, le=MAX_STOCK, description="units added, or taken if negative")]
Nums = Annotated[int, Field(ge=1, le=MAX_NUMS, description="units of one goods")]
Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT, description="minor units of the shop's currency")]
Reason = Annotated[str, _one_line(200)]
ActReason = Annotated[str, _one_line(MAX_REASON_CHARS), AfterValidator(_printable)]
OrderId = Annotated[str, StringConstraints(pattern=ORDER_ID), AfterValidator(_in_63_bits)]

Email = Annotated[str, StringConstraints(max_length=320), AfterValidator(user_email.tidy)]
AnyEmail = Annotated[str, StringConstraints(min_length=1, max_length=320, pattern=ONE_LINE)]
Password = Annotated[str, StringConstraints(pattern=ONE_LINE), AfterValidator(_password_size)]
AnyPassword = Annotated[str, StringConstraints(min_length=1, max_length=MAX_PASSWORD_BYTES)]
RefreshToken = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Nickname = Annotated[str, _one_line(64)]
Gender = Annotated[str, _one_line(32)]
RoleNumber = Annotated[int, Field(ge=1, le=3, description="1 customer, 2 staff, 3 service")]

Address = Annotated[str, _one_line(500)]
SignerName = Annotated[str, _one_line(100)]
SignerMobile = Annotated[str, _one_line(32)]
Post = Annotated[str, _one_line(500, shortest=0)]
PayType = Annotated[str, _one_line(32)]
TradeId = Annotated[str, _one_line(128)]

PathId = Annotated[int, BeforeValidator(_digits), Path(ge=1, le=MAX_ID, examples=[12])]
PathOrderId = Annotated[
    str, AfterValidator(_in_63_bits), Path(pattern=ORDER_ID, examples=["7300000000000000001"])
]
Limit = Annotated[int, BeforeValidator(_digits), Query(ge=1, le=MAX_PAGE, description="items on a page")]
Cursor = Annotated[
    str | None, Query(max_length=512, pattern=ONE_LINE, description="`next_cursor` of the page before")
]
Seconds = Annotated[int | None, BeforeValidator(_digits), Query(ge=0, le=MAX_ID)]
Stuck = Annotated[
    bool, BeforeValidator(_yes_or_no), Query(description="only those sent again 3 times without an answer")
]
Status = Annotated[
    int | None, BeforeValidator(_digits), Query(ge=1, le=3, description="1 to pay, 2 paid, 3 closed")
]
