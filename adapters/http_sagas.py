"""Sagas, for the operator: which are under way, what they owe, why they wait, and what to do about it."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from adapters.http_bodies import SagaAct
from adapters.http_call import Call, GuardedRoute, answer
from adapters.http_documents import documents
from adapters.http_fields import DEFAULT_PAGE, Cursor, Limit, PathOrderId, Seconds, Stuck
from adapters.http_models import SagaAnswer, SagaPage
from adapters.http_parts import Item
from adapters.saga_rows import SagaFilter
from domain.refusals import AlreadyPaid, NoSuchOrder, NothingOwed, OrderAlreadyClosed
from domain.saga import Step
from domain.saga_acts import CompensateSaga, RetrySaga

LOG = "order"

router = APIRouter(route_class=GuardedRoute, tags=["sagas"])


@router.get("/v1/sagas", **documents("Sagas by step, and by how long they have been in it", SagaPage))
async def sagas(
    call: Call,
    step: Annotated[Step | None, Query()] = None,
    older_than_s: Seconds = None,
    stuck: Stuck = False,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> Response:
    which = SagaFilter(None if step is None else step.value, older_than_s, stuck)
    items, next_cursor = await call.parts.queries.sagas_page(which, limit, cursor)
    return answer({"items": items, "next_cursor": next_cursor})


@router.get("/v1/sagas/{order_id}", **documents("One saga", SagaAnswer, refuses=(NoSuchOrder,)))
async def one(call: Call, order_id: PathOrderId) -> Response:
    return answer(await _saga(call, order_id))


@router.post(
    "/v1/sagas/{order_id}/retry",
    **documents("Send what is owed again now", SagaAnswer, refuses=(NoSuchOrder, NothingOwed)),
)
async def retry(call: Call, order_id: PathOrderId, body: SagaAct) -> Response:
    """The watchdog sends it within a second; past the deadline of a Sell it gives up and compensates."""
    return await _act(call, RetrySaga(order_id, call.parts.clock(), body.reason))


@router.post(
    "/v1/sagas/{order_id}/compensate",
    **documents(
        "Give the order up, and its stock back",
        SagaAnswer,
        refuses=(NoSuchOrder, AlreadyPaid, OrderAlreadyClosed, NothingOwed),
    ),
)
async def compensate(call: Call, order_id: PathOrderId, body: SagaAct) -> Response:
    """Safe to send twice: what is being given back already is answered as it is."""
    return await _act(call, CompensateSaga(order_id, call.parts.clock(), body.reason))


async def _act(call: Call, command: RetrySaga | CompensateSaga) -> Response:
    done = await call.parts.orders.submit(command, call.cause(command.order_id))
    headers = await call.wrote(LOG, done.position)
    return answer(await _saga(call, command.order_id), 200, headers)


async def _saga(call: Call, order_id: str) -> Item:
    """From the log itself, so that it shows what was just recorded. Raises NoSuchOrder."""
    saga = await call.parts.saga(order_id)
    if saga is None:
        raise NoSuchOrder
    return saga
