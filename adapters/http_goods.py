"""Goods: what can be bought, and for how much."""

from typing import Any

from fastapi import APIRouter
from fastapi.exceptions import RequestValidationError
from starlette.responses import Response

from adapters.http_bodies import GoodsChange, NewGoods
from adapters.http_call import REPLAYED_HEADER, Call, GuardedRoute, answer
from adapters.http_documents import documents
from adapters.http_fields import DEFAULT_PAGE, Cursor, Ids, Limit, NameStart, PathId
from adapters.http_models import GoodsAnswer, GoodsBatch, GoodsPage
from adapters.http_parts import Item
from domain import streams
from domain.goods import ChangeGoods, CreateGoods, DeleteGoods, Goods
from domain.key import Keyed
from domain.refusals import NoSuchGoods

LOG = "goods"

router = APIRouter(route_class=GuardedRoute, tags=["goods"])


@router.post("/v1/goods", **documents("Create goods", GoodsAnswer, 201, keyed=True))
async def create(call: Call, body: NewGoods) -> Response:
    use = await call.key_use()
    command = CreateGoods(await call.parts.new_goods_id(), body.name, body.price)
    done = await call.parts.goods.submit(command if use is None else Keyed(command, use), call.cause())
    headers = await call.wrote(LOG, done.position)
    goods_id = command.goods_id
    if use is not None and not done.written:
        goods_id = int(done.states[use.stream].about)
        headers[REPLAYED_HEADER] = "true"
    # The same key comes with the same body, so the id is all that a replay has to remember.
    return answer({"goods_id": goods_id, "name": body.name, "price": body.price}, 201, headers)


@router.get(
    "/v1/goods", **documents("Goods by id (`ids`), or a page of those for sale", GoodsBatch | GoodsPage)
)
async def several(
    call: Call,
    ids: Ids = None,
    q: NameStart = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> Response:
    if ids is None:
        items, next_cursor = await call.parts.queries.goods_page(q, limit, cursor)
        return answer({"items": items, "next_cursor": next_cursor})
    if call.query_params.keys() != {"ids"}:
        raise _wrong_ids("cannot be combined with other filters")
    # Each once, in the order asked.
    wanted = list(dict.fromkeys(map(int, ids.split(","))))
    found = await call.parts.queries.goods_by_ids(wanted)
    return answer(
        {
            "items": [found[goods_id] for goods_id in wanted if goods_id in found],
            "missing": [goods_id for goods_id in wanted if goods_id not in found],
        }
    )


@router.get("/v1/goods/{goods_id}", **documents("One of the goods", GoodsAnswer, refuses=(NoSuchGoods,)))
async def one(call: Call, goods_id: PathId) -> Response:
    goods = await call.parts.queries.goods(goods_id)
    if goods is None:
        raise NoSuchGoods(missing=[goods_id])
    return answer(goods)


@router.patch(
    "/v1/goods/{goods_id}", **documents("Change name or price", GoodsAnswer, refuses=(NoSuchGoods,))
)
async def change(call: Call, goods_id: PathId, body: GoodsChange) -> Response:
    done = await call.parts.goods.submit(ChangeGoods(goods_id, body.name, body.price), call.cause())
    goods: Goods = done.states[streams.goods(goods_id)]
    return answer(_goods(goods), 200, await call.wrote(LOG, done.position))


@router.delete("/v1/goods/{goods_id}", **documents("Take off sale", None, 204, refuses=(NoSuchGoods,)))
async def delete(call: Call, goods_id: PathId) -> Response:
    done = await call.parts.goods.submit(DeleteGoods(goods_id), call.cause())
    return Response(status_code=204, headers=await call.wrote(LOG, done.position))


def _goods(goods: Goods) -> Item:
    return {"goods_id": goods.goods_id, "name": goods.name, "price": goods.price}


def _wrong_ids(what: str) -> RequestValidationError:
    error: dict[str, Any] = {
        "type": "value_error",
        "loc": ("query", "ids"),
        "msg": "",
        "ctx": {"error": what},
    }
    return RequestValidationError([error])
