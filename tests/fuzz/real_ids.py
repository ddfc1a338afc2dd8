"""Ids of what is in the shop, in the place of half of those that were made up.

Random ids are hardly ever those of anything: without this most routes would only be heard refusing.
"""

import re
from dataclasses import dataclass
from typing import Any, Final
from zlib import crc32

from adapters.http_fields import AFTER, MAX_ID, ORDER_ID

_AFTER: Final = re.compile(AFTER)
_ORDER_ID: Final = re.compile(ORDER_ID)


@dataclass(slots=True)
class RealIds:
    """`position`: of the last write, as `Tillroll-Position` told it."""

    goods: list[int]
    orders: list[str]
    position: str | None = None

    def within(self, value: Any, name: str = "") -> Any:
        """The same with other ids. What is not valid stays, so a bad request stays bad."""
        match value:
            case dict():
                return {key: self.within(each, key) for key, each in value.items()}
            case list():
                return [self.within(each, name) for each in value]
            case _:
                return self._instead_of(value, name)

    def after(self, header: object) -> object:
        """A position that the read models do reach; most of the made up ones are years ahead."""
        fits = isinstance(header, str) and _AFTER.fullmatch(header)
        return self.position if fits and self.position and _halved(header) is not None else header

    def _instead_of(self, value: object, name: str) -> object:
        nth = _halved(value)
        if nth is None:
            return value
        match name, value:
            case "goods_id", int() if not isinstance(value, bool) and 1 <= value <= MAX_ID:
                return self.goods[nth % len(self.goods)]
            case "order_id", str() if _ORDER_ID.fullmatch(value):
                return self.orders[nth % len(self.orders)]
            case _:
                return value


def _halved(value: object) -> int | None:
    """A number made of the value alone, so that a repeated request stays as it was; None for half of them."""
    number = crc32(repr(value).encode())
    return None if number % 2 else number // 2
