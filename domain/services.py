"""The four services of the shop. Each owns one log; no commit spans two of them."""

from collections.abc import Callable
from typing import Any

from domain import cart, goods, key, keyed, order, saga, saga_acts, saga_decisions, sale, stock, streams
from domain.service import Category, Rule, Service, States, Written, recorded_in
from domain.user_service import USER

# goods


def _decide_goods(command: goods.GoodsCommand, states: States) -> Written:
    stream = streams.goods(command.goods_id)
    return recorded_in(stream, goods.decide(states[stream], command))


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
    return recorded_in(stream, stock.decide_set(states[stream], command))


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
    return recorded_in(stream, stock.decide_adjust(states[stream], command))


def _sell_reads(command: sale.Sell) -> tuple[str, ...]:
    touched = dict.fromkeys([streams.stock(line.goods_id) for line in command.lines])
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
        "stock": Category(stock.NONE, stock.evolve, stock.from_last),
        "sale": Category(sale.NONE, sale.evolve, is_brief=True),
        "key": keyed.CATEGORY,
    },
    rules=keyed.with_keys(
        {
            stock.SetInv: Rule(lambda c: (streams.stock(c.goods_id),), _decide_set),
            stock.SetInvMany: Rule(
                lambda c: tuple(streams.stock(item.goods_id) for item in c.items), _decide_set_many
            ),
            stock.AdjustStock: Rule(lambda c: (streams.stock(c.goods_id),), _decide_adjust),
            sale.Sell: Rule(_sell_reads, _decide_sell, begins=lambda c: (streams.sale(c.order_id),)),
            sale.Rollback: Rule(
                lambda c: (streams.sale(c.order_id),), _decide_rollback, reads_then=_sold_stocks
            ),
        }
    ),
)


# order: carts, orders and their sagas


def _decide_cart(command: cart.CartCommand, states: States) -> Written:
    stream = streams.cart(command.user_id)
    return recorded_in(stream, cart.decide(states[stream], command))


_CART_RULE = Rule(lambda command: (streams.cart(command.user_id),), _decide_cart)


def _start_reads(command: saga.StartOrder) -> tuple[str, ...]:
    return (streams.saga(command.order_id), streams.cart(command.user_id))


def _decide_start(command: saga.StartOrder, states: States) -> Written:
    name, cart_name = _start_reads(command)
    started, begun = saga_decisions.decide_start(states[name], states[cart_name], command)
    return ((name, started), (cart_name, begun))


def _decide_confirm_sell(command: saga.ConfirmSell, states: States) -> Written:
    name = streams.saga(command.order_id)
    cart_name = streams.cart(states[name].user_id)
    decided = saga_decisions.decide_confirm_sell(states[name], states[cart_name], command)
    if decided is None:
        return ()
    if isinstance(decided, saga.PlacementRefused):
        return ((name, decided), *_released(command, states))
    confirmed, placed, checked_out = decided
    return ((name, confirmed), (streams.order(command.order_id), placed), (cart_name, checked_out))


def _its_cart(command: Any, states: States) -> tuple[str, ...]:
    return (streams.cart(states[streams.saga(command.order_id)].user_id),)


def _released(command: Any, states: States) -> Written:
    """The lines of an order that will not be placed can be ordered again."""
    (cart_name,) = _its_cart(command, states)
    if states[cart_name].order_id != command.order_id:
        return ()
    return ((cart_name, cart.CheckoutDropped(command.order_id)),)


def _decide_deny_sell(command: saga.DenySell, states: States) -> Written:
    name = streams.saga(command.order_id)
    denied = saga_decisions.decide_deny_sell(states[name], command)
    return () if denied is None else ((name, denied), *_released(command, states))


def _decide_give_up(command: saga.GiveUpSelling, states: States) -> Written:
    name = streams.saga(command.order_id)
    unanswered = saga_decisions.decide_give_up(states[name], command)
    return () if unanswered is None else ((name, unanswered), *_released(command, states))


def _decides(decide: Callable[[saga.Saga, Any], Any | None]) -> Callable[[Any, States], Written]:
    """The rule of a decision that looks at the saga alone and moves it by one event at most."""

    def rule(command: Any, states: States) -> Written:
        name = streams.saga(command.order_id)
        return _one(name, decide(states[name], command))

    return rule


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
    return ((name, cancelled), *_one(order_name, closed), *_released(command, states))


def _decide_compensate(command: saga_acts.CompensateSaga, states: States) -> Written:
    name, order_name = streams.saga(command.order_id), streams.order(command.order_id)
    decided = saga_decisions.decide_compensate(states[name], states[order_name], command)
    if decided is None:
        return ()
    ordered, closed = decided
    return ((name, ordered), *_one(order_name, closed), *_released(command, states))


def _decide_pay(command: order.PayOrder, states: States) -> Written:
    name = streams.order(command.order_id)
    events = order.decide_pay(states[name], command)
    paid = any(isinstance(event, order.OrderPaid) for event in events)
    taken = ((streams.saga(command.order_id), saga.PaymentTaken()),) if paid else ()
    return (*recorded_in(name, events), *taken)


def _one(stream: str, event: Any | None) -> Written:
    return () if event is None else ((stream, event),)


def _saga_only(command: Any) -> tuple[str, ...]:
    return (streams.saga(command.order_id),)


def _order_only(command: Any) -> tuple[str, ...]:
    return (streams.order(command.order_id),)


def _saga_and_order(command: Any) -> tuple[str, ...]:
    return (streams.saga(command.order_id), streams.order(command.order_id))


ORDER = Service(
    log="order",
    categories={
        "cart": Category(cart.EMPTY, cart.evolve),
        "order": Category(order.NONE, order.evolve, is_brief=True),
        "saga": Category(saga.NEW, saga.evolve, is_brief=True),
        "key": keyed.CATEGORY,
    },
    rules=keyed.with_keys(
        {
            cart.ReplaceCart: _CART_RULE,
            cart.PutCartLine: _CART_RULE,
            cart.ChangeCartLine: _CART_RULE,
            cart.RemoveCartLine: _CART_RULE,
            cart.CloseCart: _CART_RULE,
            saga.StartOrder: Rule(_start_reads, _decide_start, begins=_saga_only),
            saga.ConfirmSell: Rule(
                _saga_and_order, _decide_confirm_sell, reads_then=_its_cart, begins=_order_only
            ),
            saga.DenySell: Rule(_saga_only, _decide_deny_sell, reads_then=_its_cart),
            saga.GiveUpSelling: Rule(_saga_only, _decide_give_up, reads_then=_its_cart),
            saga.LapsePayment: Rule(_saga_and_order, _decide_lapse),
            saga.CancelOrder: Rule(_saga_and_order, _decide_cancel, reads_then=_its_cart),
            saga.ConfirmReturn: Rule(_saga_only, _decides(saga_decisions.decide_confirm_return)),
            saga.NoteResend: Rule(_saga_only, _decides(saga_decisions.decide_resend)),
            saga_acts.RetrySaga: Rule(_saga_only, _decides(saga_decisions.decide_retry)),
            saga_acts.CompensateSaga: Rule(_saga_and_order, _decide_compensate, reads_then=_its_cart),
            order.PayOrder: Rule(_saga_and_order, _decide_pay),
            key.NoteUndecided: keyed.UNDECIDED_RULE,
        }
    ),
)


SERVICES = (USER, GOODS, INVENTORY, ORDER)

__all__ = ["GOODS", "INVENTORY", "ORDER", "SERVICES", "USER"]
