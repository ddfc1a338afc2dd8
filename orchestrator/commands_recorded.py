"""From the events of one command back to the command. Commands are not stored; what they wrote is.

One command's events stand side by side in its log, under its own id. The first of them says what kind of
command it was (`WAYS_BACK`); the others (`NEVER_FIRST`) only ever come with it. What a command carried and no
event shows is taken so that it cannot change the decision: docs/what-if.md lists those parts.
"""

from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

from domain import cart, goods, key, order, saga, saga_acts, sale, session, stock, streams, user
from domain.recorded import Cause, Recorded
from domain.service import Rule, Written

NOT_THE_LAST_TOKEN: Final = ""
"""No refresh token has this digest: it stands for one that was used before."""

NOBODY: Final = 0

NOWHERE: Final = order.Contact("", "", "", "")
"""Stands for every address: no decision looks at one."""


class NoWayBack(Exception):
    """No command writes these events; the text names the first of them."""


class Group(NamedTuple):
    """Everything that one command wrote in one log. `state`: of a stream, as it was before.

    A tuple with names: one is made for every command of a log.
    """

    events: tuple[Recorded, ...]
    state: Callable[[str], Any]

    @property
    def first(self) -> Any:
        return self.events[0].event

    @property
    def id(self) -> int:
        """Of the user or goods whose stream the first event is in."""
        return int(self.key)

    @property
    def key(self) -> str:
        return streams.key_of(self.events[0].originator_id)

    @property
    def cause(self) -> Cause:
        return self.events[0].cause

    @property
    def written(self) -> Written:
        return tuple([(recorded.originator_id, recorded.event) for recorded in self.events])

    def one(self, kind: type[Any]) -> Recorded | None:
        """The first event of that kind."""
        return next((recorded for recorded in self.events if isinstance(recorded.event, kind)), None)


def grouped(events: Iterable[Recorded]) -> Iterator[tuple[Recorded, ...]]:
    """A log's events, command by command."""
    together: list[Recorded] = []
    for recorded in events:
        if together and together[0].cause.command_id != recorded.cause.command_id:
            yield tuple(together)
            together.clear()
        together.append(recorded)
    if together:
        yield tuple(together)


def command_of(group: Group) -> Any:
    """The command that wrote this, or one that is decided in the same way. Raises NoWayBack."""
    used = group.events[-1]
    if not isinstance(used.event, key.KeyUsed):
        return _plain(group)
    use = key.KeyUse(used.originator_id, used.event.fingerprint)
    if len(group.events) == 1:
        # The one keyed command that has nothing to write but its key.
        return key.Keyed(stock.SetInvMany(()), use)
    return key.Keyed(_plain(Group(group.events[:-1], group.state)), use)


def _plain(group: Group) -> Any:
    kind = type(group.first)
    way_back = WAYS_BACK.get(kind)
    if way_back is None:
        raise NoWayBack(f"no command begins with {kind.__name__}")
    try:
        return way_back(group)
    except ValueError as error:
        raise NoWayBack(f"{kind.__name__} in stream {group.events[0].originator_id}") from error


# inventory


def _set(group: Group) -> stock.SetInv | stock.SetInvMany:
    items = tuple(
        stock.SetInv(int(streams.key_of(recorded.originator_id)), recorded.event.on_hand, goods_exist=True)
        for recorded in group.events
        if isinstance(recorded.event, stock.StockSet)
    )
    return items[0] if len(items) == 1 else stock.SetInvMany(items)


def _adjust(group: Group) -> stock.AdjustStock:
    event = group.first
    return stock.AdjustStock(group.id, event.delta, event.reason, goods_exist=True)


# order


def _offers(lines: Iterable[order.OrderLine]) -> tuple[goods.Offer, ...]:
    """What was offered is known of what was ordered, and that was for sale."""
    return tuple(goods.Offer(line.goods_id, line.name, line.price, True) for line in lines)


def _start(group: Group) -> saga.StartOrder:
    event = group.first
    offers = _offers(event.lines)
    return saga.StartOrder(event.order_id, event.user_id, offers, event.contact, event.at, event.sell_before)


def _start_denied(group: Group) -> saga.StartOrder:
    """Where the parcel was to go, and until when it was to be sold, was not recorded and does not matter."""
    event = group.first
    levels = tuple(stock.Level(short.goods_id, short.available) for short in event.short)
    offers = _offers(event.lines)
    return saga.StartOrder(event.order_id, event.user_id, offers, NOWHERE, event.at, event.at, levels)


def _confirm(group: Group) -> saga.ConfirmSell:
    placed = group.one(order.OrderPlaced)
    at = group.cause.at if placed is None else placed.event.placed.at
    return saga.ConfirmSell(group.key, at, group.first.pay_before)


def _confirm_refused(group: Group) -> saga.ConfirmSell:
    """No order came of it, so until when it could have been paid is not known, and does not matter."""
    return saga.ConfirmSell(group.key, group.cause.at, group.cause.at)


# user


def _register(group: Group) -> user.RegisterUser:
    event, claimed = group.first, group.one(user.EmailClaimed)
    return user.RegisterUser(
        user_id=event.user_id,
        email=event.email,
        email_digest=_digest(claimed),
        nickname=event.nickname,
        gender=event.gender,
        role=event.role,
        password_hash=event.password_hash,
    )


def _digest(of_email: Recorded | None) -> str:
    return "" if of_email is None else streams.key_of(of_email.originator_id)


def _profile(group: Group) -> user.ChangeProfile | user.ChangePassword:
    change = user.ChangeProfile(group.id, group.first.nickname, group.first.gender)
    return change if group.one(user.PasswordChanged) is None else _password(group, change)


def _password(group: Group, change: user.ChangeProfile | None = None) -> user.ChangePassword:
    """Whether the old password was known is decided outside; that it was is what the event says."""
    changed, ended = group.one(user.PasswordChanged), group.one(user.LoggedOutElsewhere)
    if changed is None or ended is None:
        raise NoWayBack("a password changed and its other sessions went on")
    return user.ChangePassword(
        profile=change or user.ChangeProfile(group.id),
        known_hash=group.state(streams.user(group.id)).password_hash,
        password_hash=changed.event.password_hash,
        session_id=ended.event.kept_session,
        at=ended.event.at,
    )


def _role(group: Group) -> user.GrantRole:
    caller = group.cause.caller
    is_user = streams.category(caller) == "user" and streams.key_of(caller).isdecimal()
    return user.GrantRole(group.id, group.first.role, int(streams.key_of(caller)) if is_user else NOBODY)


def _erase(group: Group) -> user.EraseUser:
    return user.EraseUser(group.id, _digest(group.one(user.EmailReleased)))


def _open(group: Group) -> session.OpenSession:
    event = group.first
    known = group.state(streams.user(event.user_id)).password_hash
    return session.OpenSession(group.key, event.user_id, known, event.refresh_digest, event.expires_at)


def _rotate(group: Group) -> session.RotateSession:
    used = group.state(streams.session(group.key)).refresh_digest
    return session.RotateSession(group.key, used, group.first.refresh_digest, group.cause.at)


def _end(group: Group) -> session.EndSession | session.RotateSession:
    if group.first.reason == "logged-out":
        return session.EndSession(group.key)
    return session.RotateSession(group.key, NOT_THE_LAST_TOKEN, "", group.cause.at)


WAYS_BACK: Final[Mapping[type[Any], Callable[[Group], Any]]] = {
    goods.GoodsCreated: lambda g: goods.CreateGoods(g.first.goods_id, g.first.name, g.first.price),
    goods.GoodsChanged: lambda g: goods.ChangeGoods(g.id, g.first.name, g.first.price),
    goods.GoodsDeleted: lambda g: goods.DeleteGoods(g.id),
    stock.StockSet: _set,
    stock.StockAdjusted: _adjust,
    sale.Sold: lambda g: sale.Sell(g.key, g.first.lines),
    sale.SellRefused: lambda g: sale.Sell(g.key, g.first.lines),
    sale.RolledBack: lambda g: sale.Rollback(g.key),
    sale.RollbackBarred: lambda g: sale.Rollback(g.key),
    cart.CartReplaced: lambda g: cart.ReplaceCart(g.id, g.first.lines),
    cart.CartLinePut: lambda g: cart.PutCartLine(
        g.id, cart.CartLine(g.first.goods_id, g.first.nums, g.first.checked)
    ),
    cart.CartLineRemoved: lambda g: cart.RemoveCartLine(g.id, g.first.goods_id),
    cart.CartClosed: lambda g: cart.CloseCart(g.id),
    saga.OrderStarted: _start,
    saga.StartDenied: _start_denied,
    saga.SellConfirmed: _confirm,
    saga.PlacementRefused: _confirm_refused,
    saga.SellDenied: lambda g: saga.DenySell(g.key, g.first.reason, g.first.short),
    saga.SellUnanswered: lambda g: saga.GiveUpSelling(g.key, g.cause.at),
    saga.PaymentLapsed: lambda g: saga.LapsePayment(g.key, g.cause.at),
    saga.OrderCancelled: lambda g: saga.CancelOrder(g.key),
    saga.ReturnConfirmed: lambda g: saga.ConfirmReturn(g.key, g.first.returned),
    saga.Resent: lambda g: saga.NoteResend(g.key, g.cause.at, g.first.error),
    saga_acts.RetryOrdered: lambda g: saga_acts.RetrySaga(g.key, g.first.next_try_at, g.first.reason),
    saga_acts.CompensationOrdered: lambda g: saga_acts.CompensateSaga(g.key, g.cause.at, g.first.reason),
    order.OrderPaid: lambda g: order.PayOrder(g.key, g.first.payment),
    order.RefundDue: lambda g: order.PayOrder(g.key, g.first.payment),
    key.AnsweredUndecided: lambda g: key.NoteUndecided(g.events[0].originator_id),
    user.UserRegistered: _register,
    user.ProfileChanged: _profile,
    user.PasswordChanged: _password,
    user.RoleGranted: _role,
    user.LoggedOutEverywhere: lambda g: user.LogOutEverywhere(g.id, g.first.at),
    user.UserErased: _erase,
    session.SessionBegun: _open,
    session.SessionRotated: _rotate,
    session.SessionEnded: _end,
}
"""By the first event of a command."""

NEVER_FIRST: Final[frozenset[type[Any]]] = frozenset(
    {
        stock.StockSold,
        stock.StockReturned,
        cart.CheckoutBegun,
        cart.CheckoutDropped,
        cart.CheckedOut,
        saga.PaymentTaken,
        order.OrderPlaced,
        order.OrderClosed,
        user.EmailClaimed,
        user.EmailReleased,
        user.LoggedOutElsewhere,
        key.KeyUsed,
    }
)
"""Events that only ever come with another. KeyUsed alone is the key of a request that had nothing to do."""


def read_by(rule: Rule, command: Any, state: Callable[[str], Any]) -> dict[str, Any]:
    """The states that a rule reads for a command."""
    states = {name: state(name) for name in rule.reads(command)}
    for name in rule.reads_then(command, states):
        states[name] = state(name)
    return states
