"""The four services of the shop. Each owns one log; no commit spans two of them."""

from typing import Any

from domain import cart, goods, keyed, order, saga, saga_decisions, sale, session, stock, streams, user
from domain.service import Category, Rule, Service, States, Written


def _at(stream: str, events: tuple[Any, ...]) -> Written:
    return tuple((stream, event) for event in events)


# goods


def _decide_goods(command: goods.GoodsCommand, states: States) -> Written:
    stream = streams.goods(command.goods_id)
    return _at(stream, goods.decide(states[stream], command))


_GOODS_RULE = Rule(lambda command: (streams.goods(command.goods_id),), _decide_goods)

GOODS = Service(
    log="goods",
    categories={"goods": Category(goods.UNKNOWN, goods.evolve), "key": keyed.CATEGORY},
    rules=keyed.with_keys(
        {
            goods.CreateGoods: _GOODS_RULE,
            goods.ChangeGoods: _GOODS_RULE,
            goods.DeleteGoods: _GOODS_RULE,
        }
    ),
)


# inventory


def _decide_set(command: stock.SetInv, states: States) -> Written:
    stream = streams.stock(command.goods_id)
    return _at(stream, stock.decide_set(states[stream], command))


def _decide_set_many(command: stock.SetInvMany, states: States) -> Written:
    """One after the other, so that goods named twice keep their running balance."""
    now = dict(states)
    written: list[tuple[str, Any]] = []
    for item in command.items:
        for stream, event in _decide_set(item, now):
            now[stream] = stock.evolve(now[stream], event)
            written.append((stream, event))
    return tuple(written)


def _decide_adjust(command: stock.AdjustStock, states: States) -> Written:
    stream = streams.stock(command.goods_id)
    return _at(stream, stock.decide_adjust(states[stream], command))


def _sell_reads(command: sale.Sell) -> tuple[str, ...]:
    touched = dict.fromkeys(streams.stock(line.goods_id) for line in command.lines)
    return (streams.sale(command.order_id), *touched)


def _decide_sell(command: sale.Sell, states: States) -> Written:
    stocks = {line.goods_id: states[streams.stock(line.goods_id)] for line in command.lines}
    return sale.decide_sell(states[streams.sale(command.order_id)], stocks, command)


def _sold_stocks(command: sale.Rollback, states: States) -> tuple[str, ...]:
    return tuple(streams.stock(line.goods_id) for line in states[streams.sale(command.order_id)].lines)


def _decide_rollback(command: sale.Rollback, states: States) -> Written:
    sold = states[streams.sale(command.order_id)]
    stocks = {line.goods_id: states[streams.stock(line.goods_id)] for line in sold.lines}
    return sale.decide_rollback(sold, stocks, command)


INVENTORY = Service(
    log="inventory",
    categories={
        "stock": Category(stock.NONE, stock.evolve),
        "sale": Category(sale.NONE, sale.evolve),
        "key": keyed.CATEGORY,
    },
    rules=keyed.with_keys(
        {
            stock.SetInv: Rule(lambda c: (streams.stock(c.goods_id),), _decide_set),
            stock.SetInvMany: Rule(
                lambda c: tuple(streams.stock(item.goods_id) for item in c.items), _decide_set_many
            ),
            stock.AdjustStock: Rule(lambda c: (streams.stock(c.goods_id),), _decide_adjust),
            sale.Sell: Rule(_sell_reads, _decide_sell),
            sale.Rollback: Rule(
                lambda c: (streams.sale(c.order_id),), _decide_rollback, reads_then=_sold_stocks
            ),
        }
    ),
)


# order: carts, orders and their sagas


def _decide_cart(command: cart.CartCommand, states: States) -> Written:
    stream = streams.cart(command.user_id)
    return _at(stream, cart.decide(states[stream], command))


_CART_RULE = Rule(lambda command: (streams.cart(command.user_id),), _decide_cart)


def _start_reads(command: saga.StartOrder) -> tuple[str, ...]:
    return (streams.saga(command.order_id), streams.cart(command.user_id))


def _decide_start(command: saga.StartOrder, states: States) -> Written:
    name, cart_name = _start_reads(command)
    return ((name, saga_decisions.decide_start(states[name], states[cart_name], command)),)


def _decide_confirm_sell(command: saga.ConfirmSell, states: States) -> Written:
    name = streams.saga(command.order_id)
    decided = saga_decisions.decide_confirm_sell(states[name], command)
    if decided is None:
        return ()
    confirmed, placed, checked_out = decided
    return (
        (name, confirmed),
        (streams.order(command.order_id), placed),
        (streams.cart(placed.placed.user_id), checked_out),
    )


def _confirm_then(command: saga.ConfirmSell, states: States) -> tuple[str, ...]:
    return (streams.cart(states[streams.saga(command.order_id)].user_id),)


def _decide_deny_sell(command: saga.DenySell, states: States) -> Written:
    name = streams.saga(command.order_id)
    return _one(name, saga_decisions.decide_deny_sell(states[name], command))


def _decide_give_up(command: saga.GiveUpSelling, states: States) -> Written:
    name = streams.saga(command.order_id)
    return _one(name, saga_decisions.decide_give_up(states[name], command))


def _decide_confirm_return(command: saga.ConfirmReturn, states: States) -> Written:
    name = streams.saga(command.order_id)
    return _one(name, saga_decisions.decide_confirm_return(states[name], command))


def _decide_resend(command: saga.NoteResend, states: States) -> Written:
    name = streams.saga(command.order_id)
    return _one(name, saga_decisions.decide_resend(states[name], command))


def _decide_lapse(command: saga.LapsePayment, states: States) -> Written:
    name = streams.saga(command.order_id)
    decided = saga_decisions.decide_lapse(states[name], command)
    if decided is None:
        return ()
    lapsed, closed = decided
    return ((name, lapsed), (streams.order(command.order_id), closed))


def _decide_cancel(command: saga.CancelOrder, states: States) -> Written:
    name, order_name = streams.saga(command.order_id), streams.order(command.order_id)
    decided = saga_decisions.decide_cancel(states[name], states[order_name])
    if decided is None:
        return ()
    cancelled, closed = decided
    return ((name, cancelled), *_one(order_name, closed))


def _decide_pay(command: order.PayOrder, states: States) -> Written:
    name = streams.order(command.order_id)
    events = order.decide_pay(states[name], command)
    paid = any(isinstance(event, order.OrderPaid) for event in events)
    taken = ((streams.saga(command.order_id), saga.PaymentTaken()),) if paid else ()
    return (*_at(name, events), *taken)


def _one(stream: str, event: Any | None) -> Written:
    return () if event is None else ((stream, event),)


def _saga_only(command: Any) -> tuple[str, ...]:
    return (streams.saga(command.order_id),)


def _saga_and_order(command: Any) -> tuple[str, ...]:
    return (streams.saga(command.order_id), streams.order(command.order_id))


ORDER = Service(
    log="order",
    categories={
        "cart": Category(cart.EMPTY, cart.evolve),
        "order": Category(order.NONE, order.evolve),
        "saga": Category(saga.NEW, saga.evolve),
        "key": keyed.CATEGORY,
    },
    rules=keyed.with_keys(
        {
            cart.ReplaceCart: _CART_RULE,
            cart.PutCartLine: _CART_RULE,
            cart.ChangeCartLine: _CART_RULE,
            cart.RemoveCartLine: _CART_RULE,
            saga.StartOrder: Rule(_start_reads, _decide_start),
            saga.ConfirmSell: Rule(_saga_and_order, _decide_confirm_sell, reads_then=_confirm_then),
            saga.DenySell: Rule(_saga_only, _decide_deny_sell),
            saga.GiveUpSelling: Rule(_saga_only, _decide_give_up),
            saga.LapsePayment: Rule(_saga_and_order, _decide_lapse),
            saga.CancelOrder: Rule(_saga_and_order, _decide_cancel),
            saga.ConfirmReturn: Rule(_saga_only, _decide_confirm_return),
            saga.NoteResend: Rule(_saga_only, _decide_resend),
            order.PayOrder: Rule(_saga_and_order, _decide_pay),
        }
    ),
)


# user


def _register_reads(command: user.RegisterUser) -> tuple[str, ...]:
    return (streams.user(command.user_id), streams.email(command.email_digest))


def _decide_register(command: user.RegisterUser, states: States) -> Written:
    name, claim_name = _register_reads(command)
    registered, claimed = user.decide_register(states[name], states[claim_name], command)
    return ((name, registered), (claim_name, claimed))


def _user_only(command: Any) -> tuple[str, ...]:
    return (streams.user(command.user_id),)


def _decide_profile(command: user.ChangeProfile, states: States) -> Written:
    name = streams.user(command.user_id)
    return _at(name, user.decide_profile(states[name], command))


def _decide_role(command: user.GrantRole, states: States) -> Written:
    name = streams.user(command.user_id)
    return _at(name, user.decide_role(states[name], command))


def _decide_log_out(command: user.LogOutEverywhere, states: States) -> Written:
    name = streams.user(command.user_id)
    return _at(name, user.decide_log_out(states[name], command))


def _session_only(command: Any) -> tuple[str, ...]:
    return (streams.session(command.session_id),)


def _decide_open(command: session.OpenSession, _states: States) -> Written:
    return ((streams.session(command.session_id), session.decide_open(command)),)


def _decide_rotate(command: session.RotateSession, states: States) -> Written:
    name = streams.session(command.session_id)
    return ((name, session.decide_rotate(states[name], command)),)


def _decide_end(command: session.EndSession, states: States) -> Written:
    name = streams.session(command.session_id)
    return _at(name, session.decide_end(states[name]))


USER = Service(
    log="user",
    categories={
        "user": Category(user.UNKNOWN, user.evolve),
        "email": Category(user.UNCLAIMED, user.evolve_claim),
        "session": Category(session.NONE, session.evolve),
    },
    rules={
        user.RegisterUser: Rule(_register_reads, _decide_register),
        user.ChangeProfile: Rule(_user_only, _decide_profile),
        user.GrantRole: Rule(_user_only, _decide_role),
        user.LogOutEverywhere: Rule(_user_only, _decide_log_out),
        session.OpenSession: Rule(_session_only, _decide_open),
        session.RotateSession: Rule(_session_only, _decide_rotate),
        session.EndSession: Rule(_session_only, _decide_end),
    },
)

SERVICES = (USER, GOODS, INVENTORY, ORDER)
