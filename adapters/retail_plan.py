"""What a load of retail orders will do: goods to make, shoppers to register, orders to place.

Pure. The rows come from `adapters.retail_file`; the plan is carried out by `adapters.retail_load`.
"""

import hashlib
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import NamedTuple

GOODS_NAME_LIMIT = 200
"""Characters the goods service takes in a name."""

NICKNAME_LIMIT = 64
"""Characters the user service takes in a nickname."""

UNKNOWN_COUNTRY = "Unspecified"
"""The word the retail data itself uses where it does not know the country."""

_SLUG_LIMIT = 40
_PLAN_ID_LENGTH = 32


class SoldLine(NamedTuple):
    """One row of the file that sold something. Price in pence."""

    invoice: str
    stock_code: str
    description: str
    quantity: int
    unit_price_pence: int
    customer_id: str
    country: str


@dataclass(frozen=True, slots=True)
class RetailGoods:
    """One distinct pair of stock code and price, and the units all orders together need of it."""

    stock_code: str
    unit_price_pence: int
    name: str
    units: int


@dataclass(frozen=True, slots=True)
class Shopper:
    """Who orders: one customer id, or everyone without one from the same country."""

    email: str
    nickname: str
    country: str


@dataclass(frozen=True, slots=True)
class RetailOrder:
    """One invoice: `shopper` and the first of each line's pair are places in the plan's tuples.

    `lines` are (goods, units), one per goods however often the invoice repeats it.
    """

    invoice: str
    shopper: int
    lines: tuple[tuple[int, int], ...]
    amount_pence: int


@dataclass(frozen=True, slots=True)
class RetailPlan:
    """Everything a load sends. The same sold lines give the same `plan_id`, whatever file held them."""

    plan_id: str
    goods: tuple[RetailGoods, ...]
    shoppers: tuple[Shopper, ...]
    orders: tuple[RetailOrder, ...]

    @property
    def lines(self) -> int:
        """Order lines after folding."""
        return sum(len(order.lines) for order in self.orders)

    @property
    def units(self) -> int:
        """Units of all goods sold, which is the opening stock."""
        return sum(goods.units for goods in self.goods)

    @property
    def revenue_pence(self) -> int:
        """What all orders together cost."""
        return sum(order.amount_pence for order in self.orders)


@dataclass(slots=True)
class _OpenOrder:
    shopper: int
    nums: dict[int, int] = field(default_factory=dict)


class PlanDraft:
    """Folds sold lines, given in file order, into a plan."""

    def __init__(self) -> None:
        self._digest = hashlib.sha256()
        self._goods: dict[tuple[str, int], int] = {}
        self._descriptions: dict[str, str] = {}
        self._shoppers: dict[str, tuple[int, Shopper]] = {}
        self._orders: dict[str, _OpenOrder] = {}

    def add(self, line: SoldLine) -> None:
        """Takes one more sold line. An invoice belongs to the shopper of its first line."""
        self._digest.update("\x1f".join(map(str, line)).encode() + b"\n")
        if line.description and line.stock_code not in self._descriptions:
            self._descriptions[line.stock_code] = line.description
        goods = self._goods.setdefault((line.stock_code, line.unit_price_pence), len(self._goods))
        order = self._orders.get(line.invoice) or self._open(line)
        order.nums[goods] = order.nums.get(goods, 0) + line.quantity

    def plan(self) -> RetailPlan:
        """The plan for all lines added so far."""
        prices = [price for _, price in self._goods]
        orders = tuple(_order(invoice, draft, prices) for invoice, draft in self._orders.items())
        units = _units(orders, len(prices))
        return RetailPlan(
            plan_id=self._digest.hexdigest()[:_PLAN_ID_LENGTH],
            goods=tuple(self._named(*pair, units[n]) for pair, n in self._goods.items()),
            shoppers=tuple(who for _, who in self._shoppers.values()),
            orders=orders,
        )

    def _open(self, line: SoldLine) -> _OpenOrder:
        # By email alone: a customer who moves to another country still has one user and one cart.
        who = shopper_of(line.customer_id, line.country)
        place, _ = self._shoppers.setdefault(who.email, (len(self._shoppers), who))
        order = _OpenOrder(place)
        self._orders[line.invoice] = order
        return order

    def _named(self, stock_code: str, unit_price_pence: int, units: int) -> RetailGoods:
        name = _one_line(f"{stock_code} {self._descriptions.get(stock_code, '')}", GOODS_NAME_LIMIT)
        return RetailGoods(stock_code, unit_price_pence, name, units)


def first_orders(plan: RetailPlan, count: int) -> RetailPlan:
    """The plan cut to its first `count` orders, with just the goods, units and shoppers they need.

    It is another load than the whole, with an id of its own: the opening stock differs.
    """
    if count >= len(plan.orders):
        return plan
    orders = plan.orders[:count]
    goods = {n: place for place, n in enumerate(dict.fromkeys(n for o in orders for n, _ in o.lines))}
    shoppers = {n: place for place, n in enumerate(dict.fromkeys(o.shopper for o in orders))}
    moved = tuple(_moved(order, goods, shoppers) for order in orders)
    units = _units(moved, len(goods))
    return RetailPlan(
        plan_id=hashlib.sha256(f"{plan.plan_id} first {count}".encode()).hexdigest()[:_PLAN_ID_LENGTH],
        goods=tuple(_with_units(plan.goods[n], units[place]) for n, place in goods.items()),
        shoppers=tuple(plan.shoppers[n] for n in shoppers),
        orders=moved,
    )


def schedule(plan: RetailPlan) -> list[tuple[int, list[RetailOrder]]]:
    """Shoppers with their orders in file order; who has the most goes first.

    One shopper's orders share a cart and run one after the other, so the longest row of them decides when
    the load ends, if it starts late.
    """
    rows: dict[int, list[RetailOrder]] = {}
    for order in plan.orders:
        rows.setdefault(order.shopper, []).append(order)
    return sorted(rows.items(), key=lambda row: (-len(row[1]), row[0]))


def shopper_of(customer_id: str, country: str) -> Shopper:
    """The shopper of a row; the same one in every file, so that a customer registers once."""
    country = country or UNKNOWN_COUNTRY
    if customer_id:
        return _shopper(f"customer-{_slug(customer_id)}", f"Customer {customer_id}", country)
    return _shopper(f"guest-{_guest_slug(country)}", f"Guest {country}", country)


def _shopper(mailbox: str, nickname: str, country: str) -> Shopper:
    names = _one_line(nickname, NICKNAME_LIMIT), _one_line(country, NICKNAME_LIMIT)
    return Shopper(f"{mailbox}@retail.example", *names)


def _slug(text: str) -> str:
    """Letters for an email address; two texts never share one.

    A text that is not its own slug gets a piece of its hash: without it "A 1" and "a-1" would be one user,
    whose single cart two shoppers would then fill at the same time.
    """
    plain = _plain(text)
    return plain if plain == text else f"{plain}-{hashlib.sha256(text.encode()).hexdigest()[:8]}"


def _guest_slug(country: str) -> str:
    """As `_slug`, but a country written in the usual way ("United Kingdom") needs no hash."""
    plain = _plain(country)
    usual = plain.replace("-", " ").title() == country
    return plain if usual else f"{plain}-{hashlib.sha256(country.encode()).hexdigest()[:8]}"


def _one_line(text: str, limit: int) -> str:
    # The API takes no control characters in a name, and a quoted cell of the file may hold line ends.
    return re.sub(r"[\x00-\x1f\x7f-\x9f]+", " ", text)[:limit].strip()


def _plain(text: str) -> str:
    return re.sub(r"[^a-z0-9]+", "-", text.lower())[:_SLUG_LIMIT].strip("-")


def _order(invoice: str, draft: _OpenOrder, prices: list[int]) -> RetailOrder:
    lines = tuple(draft.nums.items())
    return RetailOrder(invoice, draft.shopper, lines, sum(prices[goods] * nums for goods, nums in lines))


def _units(orders: Iterable[RetailOrder], goods_count: int) -> list[int]:
    units = [0] * goods_count
    for order in orders:
        for goods, nums in order.lines:
            units[goods] += nums
    return units


def _moved(order: RetailOrder, goods: dict[int, int], shoppers: dict[int, int]) -> RetailOrder:
    lines = tuple((goods[n], nums) for n, nums in order.lines)
    return RetailOrder(order.invoice, shoppers[order.shopper], lines, order.amount_pence)


def _with_units(goods: RetailGoods, units: int) -> RetailGoods:
    return RetailGoods(goods.stock_code, goods.unit_price_pence, goods.name, units)
