"""Inventory: levels of stock, and Sell and Rollback for callers who run a saga of their own."""

from collections.abc import Iterable
from typing import Any

from fastapi import APIRouter
from starlette.responses import Response

from adapters.http_bodies import Adjustment, RollbackOrder, SellOrder, StockLevel, StockLevels
from adapters.http_call import REPLAYED_HEADER, Call, GuardedRoute, answer
from adapters.http_documents import documents
from adapters.http_fields import PathId, PathOrderId
from adapters.http_models import RollbackAnswer, SaleAnswer, StockAnswer, StocksAnswer
from domain import streams
from domain.key import Keyed, KeyUse
from domain.refusals import (
    AlreadyReturned,
    NoSuchGoods,
    NoSuchSale,
    OrderInHand,
    SaleDiffers,
    StockShort,
    StockTooLarge,
)
from domain.saga import Saga, Step
from domain.sale import Line, Rollback, Sale, SaleStatus, Sell
from domain.stock import AdjustStock, SetInv, SetInvMany, Stock
from orchestrator.ledger import Done

LOG = "inventory"

HOLDS_STOCK = frozenset({Step.SELLING, Step.AWAITING_PAYMENT, Step.PAID})

router = APIRouter(route_class=GuardedRoute, tags=["inventory"])


@router.put(
    "/v1/inventory",
    **documents("Set many levels, all or none", StocksAnswer, refuses=(NoSuchGoods,), keyed=True),
)
async def set_many(call: Call, body: StockLevels) -> Response:
    known = await _known(call, (item.goods_id for item in body.items))
    items = tuple(SetInv(item.goods_id, item.stock, item.goods_id in known) for item in body.items)
    use = await call.key_use()
    try:
        done = await _submit(call, SetInvMany(items), use)
    except NoSuchGoods:
        # The domain stops at the first; whoever sends thousands wants to hear of all.
        missing = [item.goods_id for item in items if not item.goods_exist]
        raise NoSuchGoods(missing=missing) from None
    versions = _about(done, use) or [str(_stock(done, item.goods_id).version) for item in items]
    levels = [_level(i.goods_id, i.stock, int(v)) for i, v in zip(items, versions, strict=True)]
    return await _written(call, done, {"items": levels})


@router.put(
    "/v1/inventory/{goods_id}",
    **documents("Set the level to what was counted", StockAnswer, refuses=(NoSuchGoods,), keyed=True),
)
async def set_one(call: Call, goods_id: PathId, body: StockLevel) -> Response:
    known = await _known(call, (goods_id,))
    use = await call.key_use()
    done = await _submit(call, SetInv(goods_id, body.stock, goods_id in known), use)
    version = (_about(done, use) or [str(_stock(done, goods_id).version)])[0]
    return await _written(call, done, _level(goods_id, body.stock, int(version)))


@router.post(
    "/v1/inventory/{goods_id}/adjustments",
    **documents(
        "Add or take away", StockAnswer, refuses=(NoSuchGoods, StockShort, StockTooLarge), keyed=True
    ),
)
async def adjust(call: Call, goods_id: PathId, body: Adjustment) -> Response:
    known = await _known(call, (goods_id,))
    use = await call.key_use()
    done = await _submit(call, AdjustStock(goods_id, body.delta, body.reason, goods_id in known), use)
    after = _stock(done, goods_id)
    level, version = _about(done, use) or (str(after.on_hand), str(after.version))
    return await _written(call, done, _level(goods_id, int(level), int(version)))


@router.get("/v1/inventory/{goods_id}", **documents("The level", StockAnswer, refuses=(NoSuchGoods,)))
async def level(call: Call, goods_id: PathId) -> Response:
    stock = await call.parts.queries.stock(goods_id)
    if stock is None:
        if await call.parts.queries.goods(goods_id) is None:
            raise NoSuchGoods(missing=[goods_id])
        # Goods that nobody has counted yet: none on hand.
        stock = _level(goods_id, 0, 0)
    return answer(stock)


@router.post(
    "/v1/inventory/sell",
    **documents("Sell every line or none", SaleAnswer, refuses=(StockShort, AlreadyReturned, SaleDiffers)),
)
async def sell(call: Call, body: SellOrder) -> Response:
    denied = await _refused_unasked(call, body.order_id)
    if denied is not None:
        raise StockShort(short=denied.short, order_id=body.order_id)
    command = Sell(body.order_id, tuple(Line(line.goods_id, line.nums) for line in body.lines))
    done = await call.parts.inventory.submit(command, call.cause(body.order_id))
    sale: Sale = done.states[streams.sale(body.order_id)]
    if sale.status is SaleStatus.REFUSED:
        refusal = StockShort(short=sale.short, order_id=body.order_id)
        return await call.refused(refusal, LOG, done.position)
    content = {"order_id": body.order_id, "status": int(sale.status), "lines": sale.lines}
    return answer(content, 200, await call.wrote(LOG, done.position))


@router.post(
    "/v1/inventory/rollback",
    **documents("Give back what an order took", RollbackAnswer, refuses=(OrderInHand,)),
)
async def rollback(call: Call, body: RollbackOrder) -> Response:
    await _must_be_free(call, body.order_id)
    done = await call.parts.inventory.submit(Rollback(body.order_id), call.cause(body.order_id))
    sale: Sale = done.states[streams.sale(body.order_id)]
    content = {"order_id": body.order_id, "returned": sale.status is SaleStatus.RETURNED}
    return answer(content, 200, await call.wrote(LOG, done.position))


@router.get("/v1/inventory/sales/{order_id}", **documents("What was sold", SaleAnswer, refuses=(NoSuchSale,)))
async def sale_of(call: Call, order_id: PathOrderId) -> Response:
    sale = await call.parts.queries.sale(order_id)
    if sale is not None:
        return answer(sale)
    denied = await _refused_unasked(call, order_id)
    if denied is None:
        raise NoSuchSale
    lines = tuple([Line(line.goods_id, line.nums) for line in denied.lines])
    return answer({"order_id": order_id, "status": int(SaleStatus.REFUSED), "lines": lines})


async def _refused_unasked(call: Call, order_id: str) -> Saga | None:
    """An order that was refused before it began: it has no sale, and to others it is a refused one."""
    saga = await _saga_of(call, order_id)
    return saga if saga.step is Step.REFUSED and saga.contact is None else None


async def _saga_of(call: Call, order_id: str) -> Saga:
    name = streams.saga(order_id)
    saga: Saga = (await call.parts.orders.read(name))[name]
    return saga


async def _must_be_free(call: Call, order_id: str) -> None:
    """Stock that an order of this shop holds goes back through its saga only. Raises OrderInHand."""
    saga = await _saga_of(call, order_id)
    if saga.step in HOLDS_STOCK:
        raise OrderInHand(order_id=order_id)


async def _known(call: Call, goods_ids: Iterable[int]) -> set[int]:
    """Which of these goods the goods service has for sale now: the evidence that goes into SetInv."""
    states = await call.parts.goods.read(*(streams.goods(goods_id) for goods_id in goods_ids))
    return {goods.goods_id for goods in states.values() if goods.for_sale}


async def _submit(call: Call, command: Any, use: KeyUse | None) -> Done:
    whole = command if use is None else Keyed(command, use)
    try:
        return await call.parts.inventory.submit(whole, call.cause())
    except NoSuchGoods as refusal:
        raise NoSuchGoods(missing=[refusal.facts["goods_id"]]) from None


def _about(done: Done, use: KeyUse | None) -> list[str]:
    """What the key remembers of the first answer; empty without a key."""
    return [] if use is None else done.states[use.stream].about.split(",")


def _stock(done: Done, goods_id: int) -> Stock:
    stock: Stock = done.states[streams.stock(goods_id)]
    return stock


def _level(goods_id: int, stock: int, version: int) -> dict[str, Any]:
    return {"goods_id": goods_id, "stock": stock, "version": version}


async def _written(call: Call, done: Done, content: Any) -> Response:
    """Setting and adjusting always record something, so a write without events is a replay."""
    headers = await call.wrote(LOG, done.position)
    if not done.written:
        headers[REPLAYED_HEADER] = "true"
    return answer(content, 200, headers)
