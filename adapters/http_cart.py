"""The cart: what a customer means to buy."""

from fastapi import APIRouter
from starlette.responses import Response

from adapters.http_bodies import CartLineChange, CartLineLevel, CartLines
from adapters.http_call import Call, GuardedRoute, answer
from adapters.http_documents import documents
from adapters.http_fields import PathId
from adapters.http_models import CartAnswer, CartWritten
from domain import streams
from domain.cart import CartCommand, CartLine, ChangeCartLine, PutCartLine, RemoveCartLine, ReplaceCart
from domain.refusals import AccountClosed, NoSuchCartLine, TooManyLines
from orchestrator.ledger import Done

LOG = "order"

router = APIRouter(route_class=GuardedRoute, tags=["cart"])


@router.put(
    "/v1/cart",
    **documents("Put these items in place of all others", CartWritten, refuses=(TooManyLines, AccountClosed)),
)
async def replace(call: Call, body: CartLines) -> Response:
    lines = tuple([CartLine(item.goods_id, item.nums, item.checked) for item in body.items])
    return await _cart(call, await _submit(call, ReplaceCart(call.caller.user_id, lines)))


@router.get("/v1/cart", **documents("Your cart, with today's names and prices", CartAnswer))
async def cart(call: Call) -> Response:
    items = await call.parts.queries.cart(call.caller.user_id)
    bought = (item for item in items if item["checked"] and item["for_sale"])
    return answer({"items": items, "amount": sum(item["price"] * item["nums"] for item in bought)})


@router.put(
    "/v1/cart/{goods_id}", **documents("Put one item", CartWritten, refuses=(TooManyLines, AccountClosed))
)
async def put(call: Call, goods_id: PathId, body: CartLineLevel) -> Response:
    line = CartLine(goods_id, body.nums, body.checked)
    return await _cart(call, await _submit(call, PutCartLine(call.caller.user_id, line)))


@router.patch(
    "/v1/cart/{goods_id}",
    **documents("Change, check or uncheck one item", CartWritten, refuses=(NoSuchCartLine, AccountClosed)),
)
async def change(call: Call, goods_id: PathId, body: CartLineChange) -> Response:
    command = ChangeCartLine(call.caller.user_id, goods_id, body.nums, body.checked)
    return await _cart(call, await _submit(call, command))


@router.delete(
    "/v1/cart/{goods_id}",
    **documents("Take one item out", None, 204, refuses=(NoSuchCartLine, AccountClosed)),
)
async def remove(call: Call, goods_id: PathId) -> Response:
    done = await _submit(call, RemoveCartLine(call.caller.user_id, goods_id))
    return Response(status_code=204, headers=await call.wrote(LOG, done.position))


async def _submit(call: Call, command: CartCommand) -> Done:
    return await call.parts.orders.submit(command, call.cause())


async def _cart(call: Call, done: Done) -> Response:
    lines = done.states[streams.cart(call.caller.user_id)].lines
    return answer({"items": lines}, 200, await call.wrote(LOG, done.position))
