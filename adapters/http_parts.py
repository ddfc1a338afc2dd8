"""What the HTTP application is made of. The composition root chooses the concretes."""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Protocol

from adapters.erasure import Eraser
from adapters.open_orders import OpenOrders
from adapters.paseto_tokens import Tokens
from adapters.personal_data import PersonalData
from adapters.saga_rows import SagaFilter
from adapters.user_desk import UserDesk
from adapters.user_sessions import Sessions
from orchestrator.checkout import Checkout
from orchestrator.ledger import Ledger

Item = dict[str, Any]
Page = tuple[list[Item], str | None]
"""Items, and the cursor of the next page if there is one."""


class Queries(Protocol):
    """The read models, as fresh as their projections are: adapters.postgres_queries, by its contract.

    Raises ReadsUnavailable; a page raises BadCursor.
    """

    async def goods(self, goods_id: int) -> Item | None: ...
    async def goods_by_ids(self, ids: Sequence[int]) -> dict[int, Item]: ...
    async def goods_page(self, q: str | None, limit: int, cursor: str | None) -> Page: ...
    async def stock(self, goods_id: int) -> Item | None: ...
    async def sale(self, order_id: str) -> Item | None: ...
    async def cart(self, user_id: int) -> list[Item]: ...
    async def order(self, order_id: str) -> Item | None: ...
    async def orders_page(
        self, user_id: int | None, status: int | None, limit: int, cursor: str | None
    ) -> Page: ...
    async def sagas_page(self, which: SagaFilter, limit: int, cursor: str | None) -> Page: ...
    async def wait_for(self, positions: Mapping[str, int], timeout_s: float) -> bool: ...
    async def positions(self) -> list[Item]: ...


@dataclass(frozen=True, slots=True)
class HttpParts:
    """`clock`: UTC now. `readiness`: each part's name with "ok" or what is wrong with it.

    `timeline`: the causal timeline of an order, oldest first; `saga`: its row as the log has it now; both
    None for an order that never was.
    """

    users: Ledger
    goods: Ledger
    inventory: Ledger
    orders: Ledger
    checkout: Checkout
    queries: Queries
    desk: UserDesk
    sessions: Sessions
    personal: PersonalData
    eraser: Eraser
    open_orders: OpenOrders
    tokens: Tokens
    new_user_id: Callable[[], Awaitable[int]]
    new_goods_id: Callable[[], Awaitable[int]]
    clock: Callable[[], datetime]
    new_command_id: Callable[[], str]
    readiness: Callable[[], Awaitable[Mapping[str, str]]]
    timeline: Callable[[str], Awaitable[list[Item] | None]]
    saga: Callable[[str], Awaitable[Item | None]]
