"""Orders: placed through the saga, read, paid, cancelled."""

from collections.abc import Mapping
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from adapters.http_bodies import NewOrder, NewPayment
from adapters.http_call import REPLAYED_HEADER, Call, GuardedRoute, answer
from adapters.http_documents import PREFER_PARAMETER, answers_with, documents
from adapters.http_errors import problem
from adapters.http_fields import DEFAULT_PAGE, Cursor, Limit, PathOrderId, Status
from adapters.http_metrics import HttpMetrics
from adapters.http_models import OrderAnswer, OrderPage, Timeline, UndecidedAnswer
from adapters.http_order_answers import (
    contact_fields,
    order_as_placed,
    order_never_placed,
    order_now,
    preferred_wait_s,
    why_closed,
    why_refused,
)
from adapters.open_orders import TooManyOpenOrders
from adapters.personal_data import sealed_contact
from domain import streams
from domain.key import UNUSED, KeyUse
from domain.order import Contact, Order, OrderStatus, Payment, PayOrder
from domain.refusals import (
    AccountClosed,
    AlreadyPaid,
    AlreadyReturned,
    AmountTooLarge,
    CartChanged,
    CartEmpty,
    GoodsUnavailable,
    NoSuchOrder,
    OrderAlreadyClosed,
    OrderUnderWay,
    Refusal,
    StockShort,
    WrongAmount,
)
from domain.saga import TERMINAL, CancelOrder, Saga, Step
from orchestrator.checkout import Placing

LOG = "order"

UNDECIDED: dict[int | str, Any] = {
    202: answers_with(UndecidedAnswer, "Recorded, and not decided yet; see `Location`")
}
PLACING_REFUSALS: tuple[type[Refusal], ...] = (
    StockShort,
    AlreadyReturned,
    CartEmpty,
    CartChanged,
    GoodsUnavailable,
    AmountTooLarge,
    OrderAlreadyClosed,
    OrderUnderWay,
    AccountClosed,
    TooManyOpenOrders,
)

router = APIRouter(route_class=GuardedRoute, tags=["orders"])


def _documents_placing() -> dict[str, Any]:
    own = documents(
        "Place an order of the checked cart items",
        OrderAnswer,
        201,
        refuses=PLACING_REFUSALS,
        keyed=True,
        also=UNDECIDED,
    )
    own["openapi_extra"]["parameters"].append(PREFER_PARAMETER)
    return own


@router.post("/v1/orders", **_documents_placing())
async def place(call: Call, body: NewOrder) -> Response:
    wait_s = preferred_wait_s(call.headers.get("prefer"))
    use = await call.key_use()
    contact = Contact(body.address, body.signer_name, body.signer_mobile, body.post)
    key = await call.person_key()
    await _admit(call, use)
    try:
        placing = await call.parts.checkout.place(
            user_id=call.caller.user_id,
            contact_for=lambda order_id: sealed_contact(key, order_id, contact),
            use=use,
            cause=call.cause(),
            wait_s=wait_s,
        )
    except Refusal as refusal:
        _metrics(call).refused(refusal.name)
        call.parts.open_orders.refunded(call.caller.user_id)
        raise
    headers = await call.wrote(LOG, placing.position)
    if placing.replayed:
        headers[REPLAYED_HEADER] = "true"
    else:
        _count(call, placing)
    if placing.replayed or placing.saga.step in TERMINAL:
        call.parts.open_orders.refunded(call.caller.user_id)
    if placing.undecided:
        return _undecided(placing.order_id, headers)
    if placing.order.placed is None:
        return _not_placed(placing.saga, headers)
    content = order_as_placed(placing.order.placed)
    if placing.replayed:
        return await _answer(call, content, 201, headers)
    # What has just been sealed need not be opened again: it is what was sent.
    return answer(content | contact_fields(contact), 201, headers)


async def _admit(call: Call, use: KeyUse | None) -> None:
    """A repeat is no new order, so it is answered whatever the limit. Raises TooManyOpenOrders."""
    try:
        await call.parts.open_orders.admit(call.caller.user_id)
    except TooManyOpenOrders as refusal:
        if use is None or (await call.parts.orders.read(use.stream))[use.stream] == UNUSED:
            _metrics(call).refused(refusal.name)
            raise


async def _answer(
    call: Call, order: dict[str, Any], status: int = 200, headers: Mapping[str, str] | None = None
) -> Response:
    """The order with its delivery data in the clear, as far as it is still kept."""
    return answer(await call.parts.personal.unsealed_order(order), status, headers)


@router.get("/v1/orders", **documents("Orders, the newest first; customers see their own", OrderPage))
async def page(
    call: Call, status: Status = None, limit: Limit = DEFAULT_PAGE, cursor: Cursor = None
) -> Response:
    user_id = call.caller.user_id if call.caller.sees_own_only else None
    items, next_cursor = await call.parts.queries.orders_page(user_id, status, limit, cursor)
    shown = await call.parts.personal.unsealed_orders(items)
    return answer({"items": shown, "next_cursor": next_cursor})


@router.get(
    "/v1/orders/{order_id}",
    **documents(
        "One order",
        OrderAnswer,
        refuses=(NoSuchOrder, StockShort, AlreadyReturned, OrderAlreadyClosed),
        also=UNDECIDED,
    ),
)
async def one(call: Call, order_id: PathOrderId) -> Response:
    order = await call.parts.queries.order(order_id)
    if order is not None:
        _must_see(call, order["user_id"])
        return await _answer(call, order)
    # Not in the read model: not there yet, undecided, refused, or never heard of. The log knows.
    placing = await call.parts.checkout.outcome(order_id, 0.0)
    if placing is None:
        raise NoSuchOrder
    _must_see(call, placing.saga.user_id)
    if placing.order.placed is not None:
        return await _answer(call, order_now(placing.order))
    return _not_placed(placing.saga, {})


@router.post(
    "/v1/orders/{order_id}/payment",
    **documents(
        "Take note of a payment",
        OrderAnswer,
        refuses=(NoSuchOrder, OrderAlreadyClosed, AlreadyPaid, WrongAmount),
    ),
)
async def pay(call: Call, order_id: PathOrderId, body: NewPayment) -> Response:
    """Safe to send twice: a trade_id counts once and is answered the same way each time."""
    payment = Payment(body.pay_type, body.trade_id, body.amount, call.parts.clock())
    done = await call.parts.orders.submit(PayOrder(order_id, payment), call.cause(order_id))
    order: Order = done.states[streams.order(order_id)]
    if order.status is OrderStatus.CLOSED:
        due = next(refund.amount for refund in order.refunds if refund.trade_id == body.trade_id)
        refusal = OrderAlreadyClosed(order_id=order_id, refund_due=due)
        return await call.refused(refusal, LOG, done.position)
    return await _answer(call, order_now(order), 200, await call.wrote(LOG, done.position))


@router.post(
    "/v1/orders/{order_id}/cancel",
    **documents("Cancel", OrderAnswer, refuses=(NoSuchOrder, AlreadyPaid, OrderAlreadyClosed)),
)
async def cancel(call: Call, order_id: PathOrderId) -> Response:
    await _own_saga(call, order_id)
    done = await call.parts.orders.submit(CancelOrder(order_id), call.cause(order_id))
    saga: Saga = done.states[streams.saga(order_id)]
    order: Order = done.states[streams.order(order_id)]
    content = order_never_placed(saga) if order.placed is None else order_now(order)
    return await _answer(call, content, 200, await call.wrote(LOG, done.position))


@router.get(
    "/v1/orders/{order_id}/timeline",
    **documents("What happened to the order, oldest first", Timeline, refuses=(NoSuchOrder,)),
)
async def timeline(call: Call, order_id: PathOrderId) -> Response:
    await _own_saga(call, order_id)
    entries = await call.parts.timeline(order_id)
    if entries is None:
        raise NoSuchOrder
    return answer({"items": entries})


def _must_see(call: Call, owner_id: int) -> None:
    """Someone else's order is answered as if there were none. Raises NoSuchOrder."""
    if call.caller.sees_own_only and owner_id != call.caller.user_id:
        raise NoSuchOrder


async def _own_saga(call: Call, order_id: str) -> Saga:
    """Raises NoSuchOrder where there is none, or none for this caller."""
    name = streams.saga(order_id)
    saga: Saga = (await call.parts.orders.read(name))[name]
    if saga.step is Step.NEW:
        raise NoSuchOrder
    _must_see(call, saga.user_id)
    return saga


def _not_placed(saga: Saga, headers: dict[str, str]) -> Response:
    """Undecided, refused, or given up before it was placed."""
    match saga.step:
        case Step.SELLING:
            return _undecided(saga.order_id, headers)
        case Step.REFUSED:
            return problem(why_refused(saga), headers)
        case _:
            return problem(why_closed(saga), headers)


def _undecided(order_id: str, headers: dict[str, str]) -> Response:
    content = {"order_id": order_id, "step": Step.SELLING.value}
    return answer(content, 202, {**headers, "Location": f"/v1/orders/{order_id}"})


def _metrics(call: Call) -> HttpMetrics:
    metrics: HttpMetrics = call.app.state.metrics
    return metrics


def _count(call: Call, placing: Placing) -> None:
    if placing.order.placed is not None:
        _metrics(call).placed()
    elif placing.saga.step is Step.REFUSED:
        _metrics(call).refused(placing.saga.reason or StockShort.name)
