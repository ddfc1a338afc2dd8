"""The HTTP application: routes, errors, documentation, made of the parts that the composition root gives."""

from collections.abc import Sequence
from dataclasses import dataclass
from importlib.metadata import version
from typing import Final

from fastapi import FastAPI
from fastapi_offline import FastAPIOffline
from prometheus_client import CollectorRegistry
from starlette.types import ASGIApp, Receive, Scope, Send

from adapters import (
    http_cart,
    http_goods,
    http_inventory,
    http_ops,
    http_orders,
    http_sagas,
    http_users,
)
from adapters.http_admission import Admission, Admitting
from adapters.http_documents import openapi_of
from adapters.http_edge import Edge
from adapters.http_errors import answer_problems, problem
from adapters.http_fast_lane import FastLane
from adapters.http_metrics import HttpMetrics
from adapters.http_parts import HttpParts
from adapters.http_positions import Positions
from domain.refusals import Overloaded

__all__ = ["HttpParts", "Served", "create_app", "served"]

# Routes are matched in this order, so the busiest come first.
ROUTERS: Final = (
    http_cart.router,
    http_orders.router,
    http_inventory.router,
    http_goods.router,
    http_users.router,
    http_sagas.router,
    http_ops.router,
)

DESCRIPTION: Final = """\
The order back end of a shop: carts, stock and orders, event-sourced.

Money is an integer of minor units; times are RFC 3339, UTC; order ids are decimal strings. Errors are
RFC 9457 problems whose `type` is `urn:tillroll:<name>`. A write answers `Tillroll-Position`; a read that
sends it as `Tillroll-After` sees at least that. Unknown fields and parameters are refused.
"""


@dataclass(frozen=True, slots=True)
class Served:
    """What a server needs: the application, who is let in, and the short way around the application."""

    app: ASGIApp
    admission: Admission
    fast: FastLane


def served(app: FastAPI, admission: Admission) -> Served:
    refuse = Edge(_overloaded, app.state.metrics)
    return Served(Admitting(app, refuse, admission), admission, FastLane(app, admission))


async def _overloaded(scope: Scope, receive: Receive, send: Send) -> None:
    await problem(Overloaded())(scope, receive, send)


def create_app(parts: HttpParts, numbers: Sequence[CollectorRegistry] = ()) -> FastAPI:
    """The ASGI application. It starts and stops nothing: the parts belong to the composition root.

    `numbers`: of other parts of this process, for /metrics.
    """
    app = FastAPIOffline(
        title="Tillroll",
        version=version("tillroll"),
        description=DESCRIPTION,
        redoc_url=None,
        redirect_slashes=False,
        # Without this the page would have an outside service look at our document.
        swagger_ui_parameters={"validatorUrl": None},
    )
    app.state.parts = parts
    app.state.positions = Positions(parts.queries)
    app.state.metrics = HttpMetrics(numbers)
    for router in ROUTERS:
        # Not include_router: that would match every request twice.
        app.router.routes.extend(router.routes)
    answer_problems(app)
    app.add_middleware(Edge, metrics=app.state.metrics)
    app.openapi = openapi_of(app)  # type: ignore[method-assign]  # as FastAPI's own documentation does it
    return app
