"""For whoever runs the shop: is it alive, is it ready, what do its numbers say."""

import asyncio

from fastapi import APIRouter
from starlette.responses import PlainTextResponse, Response

from adapters.http_call import Call, GuardedRoute, answer
from adapters.http_documents import documents
from adapters.http_errors import NotReady
from adapters.http_metrics import CONTENT_TYPE, HttpMetrics
from adapters.http_models import Health, Ready

router = APIRouter(route_class=GuardedRoute, tags=["operations"])

_METRICS_TEXT = {
    200: {"description": "Prometheus text", "content": {"text/plain": {"example": "# HELP ...\n"}}}
}


def works(state: str) -> bool:
    """A part that works may have something to say all the same: `ok, but ...`."""
    return state.partition(",")[0] == "ok"


@router.get("/healthz", **documents("The process answers", Health))
async def healthz(_call: Call) -> Response:
    return answer({"status": "ok"})


@router.get("/readyz", **documents("Every part works", Ready, refuses=(NotReady,)))
async def readyz(call: Call) -> Response:
    parts = await call.parts.readiness()
    if not all(map(works, parts.values())):
        raise NotReady(parts=dict(parts))
    return answer({"status": "ok", "parts": dict(parts)})


@router.get(
    "/metrics",
    response_class=PlainTextResponse,
    **{**documents("Numbers for Prometheus", None), "responses": _METRICS_TEXT},
)
async def metrics(call: Call) -> Response:
    own: HttpMetrics = call.app.state.metrics
    # In a thread, because some of it is asked from the database.
    text = await asyncio.to_thread(own.text)
    return Response(text, 200, media_type=CONTENT_TYPE)
