"""Types of fields in requests: what is accepted, and in which words it is refused.

Whatever can be said by a JSON Schema is said by one, so that the OpenAPI document promises exactly what is
accepted. So limits stand before every function that looks further, and patterns are written out: `\\s` and
`\\w` mean something else in each language that may read the document.
"""

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final

from fastapi import Path, Query
from pydantic import AfterValidator, BaseModel, BeforeValidator, ConfigDict, Field, StringConstraints

from adapters import user_email
from domain.limits import MAX_AMOUNT, MAX_NUMS, MAX_PRICE, MAX_REASON_CHARS, MAX_STOCK

MAX_ID: Final = 2**53 - 1
"""Goods and user ids are JSON numbers, so they stay exact in every reader."""

MAX_ORDER_ID: Final = 2**63 - 1
MIN_PASSWORD_CHARS: Final = 8
MAX_PASSWORD_CHARS: Final = 256
MAX_GIVEN_PASSWORD_CHARS: Final = 1_024
"""Of a password that is only compared: limits of new ones may change, and nobody is to be locked out."""

MAX_PAGE: Final = 200
DEFAULT_PAGE: Final = 50
MAX_IDS_CHARS: Final = 20_000
"""Of `?ids=`: about a thousand goods."""


def _up_to(limit: int) -> str:
    """A pattern of the decimal numbers from 1 to `limit`, without leading zeros."""
    digits = str(limit)
    shorter = f"[1-9][0-9]{{0,{len(digits) - 2}}}"
    same = [
        f"{digits[:at]}[{0 if at else 1}-{int(digit) - 1}][0-9]{{{len(digits) - at - 1}}}"
        for at, digit in enumerate(digits)
        if int(digit) > (0 if at else 1)
    ]
    return "|".join([shorter, *same, digits])


_CONTROLS: Final = r"\x00-\x1f\x7f-\x9f"
_SPACES: Final = r" \xa0\u1680\u2000-\u200a\u2028\u2029\u202f\u205f\u3000"
_UNSEEN: Final = r"\xad\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u206f\ufeff\ufff9-\uffff"
"""What is not seen, or turns a line around."""

ONE_LINE: Final = rf"^[^{_CONTROLS}]*$"
SOME_WORDS: Final = rf"^[^{_CONTROLS}]*[^{_CONTROLS}{_SPACES}][^{_CONTROLS}]*$"
SEEN_WORDS: Final = rf"^[^{_CONTROLS}{_UNSEEN}]*[^{_CONTROLS}{_UNSEEN}{_SPACES}][^{_CONTROLS}{_UNSEEN}]*$"
ORDER_ID: Final = f"^(?:{_up_to(MAX_ORDER_ID)})$"
IDS: Final = f"^(?:{_up_to(MAX_ID)})(?:,(?:{_up_to(MAX_ID)}))*$"
CURSOR: Final = r"^[A-Za-z0-9_-]+$"
_POSITION: Final = "(?:goods|inventory|order|user)=[0-9]{1,18}"
AFTER: Final = f"^{_POSITION}(?:[ \t]*,[ \t]*{_POSITION})*$"
"""Positions of logs, as `Tillroll-Position` has them; a header's list may have spaces at its commas."""

PATTERNS: Final = {
    ONE_LINE: "must not hold control characters",
    SOME_WORDS: "must hold more than spaces, and no control characters",
    SEEN_WORDS: "must hold more than spaces, and printable characters only",
    ORDER_ID: f"must be an order id: a decimal number from 1 to {MAX_ORDER_ID}, not beginning with 0",
    IDS: f"must be numbers from 1 to {MAX_ID} separated by commas, such as 1,2,3",
    CURSOR: "is not a cursor of this list",
}
"""What a text that does not match is told, because a regular expression tells a person nothing."""

_DIGITS = re.compile(r"0|[1-9][0-9]{0,18}")


class Body(BaseModel):
    """Unknown fields are refused, and nothing is converted: 1.0, "1" and true are not the number 1."""

    model_config = ConfigDict(strict=True, extra="forbid", frozen=True)


def without_null(schema: Mapping[str, Any]) -> dict[str, Any]:
    """The schema of what may be left out, but must not be null."""
    (kind,) = [each for each in schema.get("anyOf", [schema]) if each.get("type") != "null"]
    return {**{name: value for name, value in schema.items() if name != "anyOf"}, **kind}


def _digits(text: object) -> object:
    """Pydantic alone would take `1_0`, `+1`, `01`, ` 1` and `1.0` in an address for numbers."""
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


def _words(longest: int, pattern: str = SOME_WORDS) -> tuple[StringConstraints, AfterValidator]:
    """One line of text that says something; spaces around it are not kept."""
    return StringConstraints(min_length=1, max_length=longest, pattern=pattern), AfterValidator(str.strip)


GoodsId = Annotated[int, Field(ge=1, le=MAX_ID)]
GoodsName = Annotated[str, *_words(200)]
Price = Annotated[int, Field(ge=0, le=MAX_PRICE, description="minor units of the shop's currency")]
Stock = Annotated[int, Field(ge=0, le=MAX_STOCK, description="units on hand")]
Delta = Annotated[int, Field(ge=-MAX_STOCK, le=MAX_STOCK, description="units added, or taken if negative")]
Nums = Annotated[int, Field(ge=1, le=MAX_NUMS, description="units of one goods")]
Amount = Annotated[int, Field(ge=0, le=MAX_AMOUNT, description="minor units of the shop's currency")]
Reason = Annotated[str, *_words(200)]
ActReason = Annotated[str, *_words(MAX_REASON_CHARS, SEEN_WORDS)]
OrderId = Annotated[str, StringConstraints(pattern=ORDER_ID)]

Email = Annotated[
    str,
    StringConstraints(min_length=3, max_length=user_email.MAX_CHARS),
    AfterValidator(user_email.tidy),
    Field(json_schema_extra={"format": "email"}),
]
AnyEmail = Annotated[str, StringConstraints(min_length=1, max_length=320, pattern=ONE_LINE)]
Password = Annotated[
    str,
    StringConstraints(min_length=MIN_PASSWORD_CHARS, max_length=MAX_PASSWORD_CHARS, pattern=ONE_LINE),
]
AnyPassword = Annotated[str, StringConstraints(min_length=1, max_length=MAX_GIVEN_PASSWORD_CHARS)]
RefreshToken = Annotated[str, StringConstraints(min_length=1, max_length=256)]
Nickname = Annotated[str, *_words(64)]
Gender = Annotated[str, *_words(32)]
RoleNumber = Annotated[int, Field(ge=1, le=3, description="1 customer, 2 staff, 3 service")]

Address = Annotated[str, *_words(500)]
SignerName = Annotated[str, *_words(100)]
SignerMobile = Annotated[str, *_words(32)]
Post = Annotated[str, StringConstraints(max_length=500, pattern=ONE_LINE), AfterValidator(str.strip)]
PayType = Annotated[str, *_words(32)]
TradeId = Annotated[str, *_words(128)]

PathId = Annotated[int, Field(ge=1, le=MAX_ID), BeforeValidator(_digits), Path(examples=[12])]
PathOrderId = Annotated[OrderId, Path(examples=["7300000000000000001"])]
Limit = Annotated[
    int, Field(ge=1, le=MAX_PAGE), BeforeValidator(_digits), Query(description="items on a page")
]
Cursor = Annotated[
    Annotated[str, StringConstraints(max_length=512, pattern=CURSOR)] | None,
    Query(description="`next_cursor` of the page before"),
]
Ids = Annotated[
    Annotated[str, StringConstraints(max_length=MAX_IDS_CHARS, pattern=IDS)] | None,
    Query(examples=["1,2,3"]),
]
NameStart = Annotated[
    Annotated[str, StringConstraints(max_length=200, pattern=ONE_LINE)] | None,
    Query(description="beginning of a name"),
]
Seconds = Annotated[Annotated[int, Field(ge=0, le=MAX_ID), BeforeValidator(_digits)] | None, Query()]
Stuck = Annotated[
    bool, BeforeValidator(_yes_or_no), Query(description="only those sent again 3 times without an answer")
]
Everywhere = Annotated[
    bool, BeforeValidator(_yes_or_no), Query(alias="all", description="end all your sessions")
]
Status = Annotated[
    Annotated[int, Field(ge=1, le=3), BeforeValidator(_digits)] | None,
    Query(description="1 to pay, 2 paid, 3 closed"),
]
