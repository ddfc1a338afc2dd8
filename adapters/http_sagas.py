"""Sagas, for the operator: which are under way, what they owe, and why they wait."""

from typing import Annotated

from fastapi import APIRouter, Query
from starlette.responses import Response

from adapters.http_call import Call, GuardedRoute, answer
from adapters.http_documents import documents
from adapters.http_fields import DEFAULT_PAGE, Cursor, Limit, Seconds
from adapters.http_models import SagaPage
from domain.saga import Step

router = APIRouter(route_class=GuardedRoute, tags=["sagas"])


@router.get("/v1/sagas", **documents("Sagas by step, and by how long they have been in it", SagaPage))
async def sagas(
    call: Call,
    step: Annotated[Step | None, Query()] = None,
    older_than_s: Seconds = None,
    limit: Limit = DEFAULT_PAGE,
    cursor: Cursor = None,
) -> Response:
    items, next_cursor = await call.parts.queries.sagas_page(
        None if step is None else step.value, older_than_s, limit, cursor
    )
    return answer({"items": items, "next_cursor": next_cursor})
