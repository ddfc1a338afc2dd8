"""Every no that only the caller hears. A no that the saga must hear is an event instead.

    Refusal
      Absent        NoSuchGoods  NoSuchOrder  NoSuchUser  NoSuchCartLine  NoSuchSale  NoSuchSession
      Clash         StockShort  AlreadyReturned  SaleDiffers  AlreadyPaid  OrderAlreadyClosed
                    GoodsUnavailable  EmailTaken  IdTaken  CartChanged  OrderUnderWay
                    OrderInHand  NothingOwed  AccountClosed  OwnRole
                    PasswordOutdated
      Unfit         CartEmpty  TooManyLines  NoUnits  AmountTooLarge  StockTooLarge  WrongAmount  KeyReused
      Busy          Overloaded  Unavailable

The docstring is the message a person reads; the class attribute `name` is what programs match.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, ClassVar


class Refusal(Exception):
    """The command was refused; nothing was recorded."""

    name: ClassVar[str] = "refused"

    def __init__(self, **facts: Any) -> None:
        super().__init__(self.message())
        self.facts: Mapping[str, Any] = facts

    @classmethod
    def message(cls) -> str:
        return " ".join((cls.__doc__ or "").split())


@dataclass(frozen=True, slots=True)
class Short:
    """One goods of which fewer units are on hand than wanted."""

    goods_id: int
    wanted: int
    available: int


class Absent(Refusal):
    """What the command names does not exist."""


class NoSuchGoods(Absent):
    """There are no such goods."""

    name = "no-such-goods"


class NoSuchOrder(Absent):
    """There is no such order."""

    name = "no-such-order"


class NoSuchUser(Absent):
    """There is no such user."""

    name = "no-such-user"


class NoSuchCartLine(Absent):
    """These goods are not in the cart."""

    name = "no-such-cart-line"


class NoSuchSale(Absent):
    """Nothing was ever sold or refused for this order id."""

    name = "no-such-sale"


class NoSuchSession(Absent):
    """This session does not exist or has ended."""

    name = "no-such-session"


class Clash(Refusal):
    """The command does not fit what is recorded already."""


class StockShort(Clash):
    """Some goods are short; nothing was sold."""

    name = "stock-short"


class AlreadyReturned(Clash):
    """This order id was rolled back, so nothing can be sold for it any more."""

    name = "already-returned"


class SaleDiffers(Clash):
    """This order id came with other lines before; what was decided for those stands."""

    name = "sale-differs"


class AlreadyPaid(Clash):
    """The order is paid already."""

    name = "already-paid"


class OrderAlreadyClosed(Clash):
    """The order is closed."""

    name = "order-closed"


class GoodsUnavailable(Clash):
    """Some goods in the cart are no longer for sale; take them out of the cart first."""

    name = "goods-unavailable"


class EmailTaken(Clash):
    """Another user is registered with this email address."""

    name = "email-taken"


class OwnRole(Clash):
    """Nobody changes their own role; another member of staff has to do it."""

    name = "own-role"


class PasswordOutdated(Clash):
    """The password was changed while it was being compared."""

    name = "password-outdated"


class IdTaken(Clash):
    """This id is in use already; make a new one and try again."""

    name = "id-taken"


class CartChanged(Clash):
    """The cart changed while the order was being placed; try again."""

    name = "cart-changed"


class OrderUnderWay(Clash):
    """An order of these cart lines is being placed already; wait for it, or change the cart."""

    name = "order-under-way"


class OrderInHand(Clash):
    """This order's saga has its stock in hand; cancel the order instead."""

    name = "order-in-hand"


class NothingOwed(Clash):
    """This order's saga owes inventory nothing now."""

    name = "nothing-owed"


class AccountClosed(Clash):
    """This account is closed: nothing can be put in its cart or ordered any more."""

    name = "account-closed"


class Unfit(Refusal):
    """The command is well formed, but its content cannot be accepted."""


class CartEmpty(Unfit):
    """No line of the cart is checked, so there is nothing to order."""

    name = "cart-empty"


class TooManyLines(Unfit):
    """A cart holds 2,000 lines at most."""

    name = "too-many-lines"


class NoUnits(Unfit):
    """Every line needs at least one unit."""

    name = "no-units"


class AmountTooLarge(Unfit):
    """The amount of the order is larger than 9,223,372,036,854,775,807 minor units."""

    name = "amount-too-large"


class StockTooLarge(Unfit):
    """More than 9,007,199,254,740,991 units of one goods cannot be kept."""

    name = "stock-too-large"


class WrongAmount(Unfit):
    """The payment is not of the amount of the order; nothing was recorded."""

    name = "wrong-amount"


class KeyReused(Unfit):
    """This Idempotency-Key was used before with another request."""

    name = "key-reused"


class Busy(Refusal):
    """The shop cannot take this command now; nothing is wrong with it."""


class Overloaded(Busy):
    """Too many commands are waiting; try again shortly."""

    name = "overloaded"


class Unavailable(Busy):
    """The log cannot be reached now; whether the command was recorded will show there. Try again."""

    name = "unavailable"
