"""The requests of a load as values. The same plan gives the same bytes and keys, so a load can be repeated.

A repeated key makes the server give its first answer again: goods keep their ids, stock is not set twice,
no invoice becomes two orders.
"""

import hashlib
import hmac
import re
from collections.abc import Sequence

from adapters.api_call import ApiCall, encode
from adapters.retail_plan import RetailOrder, RetailPlan, Shopper

STOCK_CHUNK = 1_000
"""Goods in one PUT /v1/inventory."""

PROBE = Shopper("probe@retail.example", "Probe", "Unspecified")
"""Who asks for one more when everything is sold."""

_PLAIN_INVOICE = re.compile(r"[A-Za-z0-9._-]{1,40}")


def password_of(shopper: Shopper, staff_password: str) -> str:
    """The shopper's password: the next run can derive it again, and nobody without the staff's can."""
    return hmac.new(staff_password.encode(), shopper.email.encode(), hashlib.sha256).hexdigest()


def goods_call(plan: RetailPlan, place: int) -> ApiCall:
    """Makes the goods at `place` of the plan."""
    goods = plan.goods[place]
    body = encode({"name": goods.name, "price": goods.unit_price_pence})
    return ApiCall("POST", "/v1/goods", body, f"{plan.plan_id}-goods-{place}")


def stock_call(plan: RetailPlan, goods_ids: Sequence[int], start: int) -> ApiCall:
    """Sets the opening stock of the `STOCK_CHUNK` goods from place `start` on."""
    chunk = range(start, min(start + STOCK_CHUNK, len(plan.goods)))
    items = [{"goods_id": goods_ids[place], "stock": plan.goods[place].units} for place in chunk]
    return ApiCall("PUT", "/v1/inventory", encode({"items": items}), f"{plan.plan_id}-stock-{start}")


def stock_question(goods_id: int) -> ApiCall:
    return ApiCall("GET", f"/v1/inventory/{goods_id}")


def cart_call(goods_ids: Sequence[int], lines: Sequence[tuple[int, int]]) -> ApiCall:
    """Puts exactly these lines, given as (place, units), into the cart; none empties it."""
    items = [{"goods_id": goods_ids[place], "nums": nums, "checked": True} for place, nums in lines]
    return ApiCall("PUT", "/v1/cart", encode({"items": items}))


def order_call(who: Shopper, *, invoice: str, key: str) -> ApiCall:
    """Orders what is in the cart, to a made-up address."""
    number = int(hashlib.sha256(who.email.encode()).hexdigest()[:8], 16)
    body = {
        "address": f"{number % 200 + 1} Gift Street, {who.country}",
        "signer_name": who.nickname,
        # Ofcom keeps 07700 900000 to 900999 for made-up people.
        "signer_mobile": f"+44 7700 900{number % 1000:03d}",
        "post": f"invoice {_safe(invoice)}",
    }
    return ApiCall("POST", "/v1/orders", encode(body), key)


def order_question(order_id: str) -> ApiCall:
    return ApiCall("GET", f"/v1/orders/{order_id}")


def payment_call(order_id: str, *, amount_pence: int, trade_id: str) -> ApiCall:
    body = {"pay_type": "card", "trade_id": trade_id, "amount": amount_pence}
    return ApiCall("POST", f"/v1/orders/{order_id}/payment", encode(body))


def order_key(plan: RetailPlan, order: RetailOrder, again: int) -> str:
    """The invoice's idempotency key and trade id, at most 80 characters.

    `again` counts the orders before it that the shop closed unpaid because a stopped load was away too long.
    """
    key = f"{plan.plan_id}-{_safe(order.invoice)}"
    return f"{key}-again-{again}" if again else key


def probe_key(plan: RetailPlan) -> str:
    return f"{plan.plan_id}-probe"


def _safe(invoice: str) -> str:
    """The invoice number as it may stand in an HTTP header."""
    if _PLAIN_INVOICE.fullmatch(invoice):
        return invoice
    return hashlib.sha256(invoice.encode()).hexdigest()[:40]
