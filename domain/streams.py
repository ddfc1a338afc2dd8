"""Names of streams: `<category>-<key>`, as they stand in the log's `originator_id`.

Those that an order needs again and again are kept: a name that is the same string as before is also found
faster, as its hash is known and nothing has to be compared.
"""

from functools import lru_cache
from typing import Final

LASTING: Final = 65_536
BRIEF: Final = 16_384
"""Names kept of one category: those of an order are soon not asked for any more."""


def user(user_id: int) -> str:
    return f"user-{user_id}"


def email(digest: str) -> str:
    """`digest`: keyed hash of the normalised address, so the name tells nobody the address."""
    return f"email-{digest}"


def session(session_id: str) -> str:
    return f"session-{session_id}"


def goods(goods_id: int) -> str:
    return f"goods-{goods_id}"


@lru_cache(LASTING)
def stock(goods_id: int) -> str:
    return f"stock-{goods_id}"


@lru_cache(BRIEF)
def sale(order_id: str) -> str:
    return f"sale-{order_id}"


@lru_cache(LASTING)
def cart(user_id: int) -> str:
    return f"cart-{user_id}"


@lru_cache(BRIEF)
def order(order_id: str) -> str:
    return f"order-{order_id}"


@lru_cache(BRIEF)
def saga(order_id: str) -> str:
    return f"saga-{order_id}"


def key(digest: str) -> str:
    """`digest`: hash over the caller and the Idempotency-Key, so no two callers share a key."""
    return f"key-{digest}"


def category(stream: str) -> str:
    return stream.partition("-")[0]


def key_of(stream: str) -> str:
    return stream.partition("-")[2]
