"""Streams: names are a format of the log, so they never change."""

import pytest

from domain import streams


@pytest.mark.parametrize(
    ("name", "category", "key"),
    [
        (streams.user(7), "user", "7"),
        (streams.email("ab-cd"), "email", "ab-cd"),
        (streams.session("5f0e"), "session", "5f0e"),
        (streams.goods(12), "goods", "12"),
        (streams.stock(12), "stock", "12"),
        (streams.sale("99"), "sale", "99"),
        (streams.cart(7), "cart", "7"),
        (streams.order("99"), "order", "99"),
        (streams.saga("99"), "saga", "99"),
        (streams.key("a-b-c"), "key", "a-b-c"),
    ],
)
def test_a_name_is_its_category_and_its_key(name: str, category: str, key: str) -> None:
    assert name == f"{category}-{key}"
    assert (streams.category(name), streams.key_of(name)) == (category, key)
