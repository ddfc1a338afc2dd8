"""Numbers for an operator's monitoring: requests by route and status, their duration, orders."""

from collections.abc import Sequence
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST

CONTENT_TYPE: Final = CONTENT_TYPE_LATEST
DURATIONS_S: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0)


class HttpMetrics:
    """One application's numbers, in a registry of its own so that a process can have several.

    `others`: registries of other parts of this process, shown with it.
    """

    def __init__(self, others: Sequence[CollectorRegistry] = ()) -> None:
        self._registry = CollectorRegistry()
        self._shown = (self._registry, *others, REGISTRY)
        self._requests = Counter(
            "tillroll_http_requests",
            "Requests answered.",
            ("method", "route", "status"),
            registry=self._registry,
        )
        self._seconds = Histogram(
            "tillroll_http_request_seconds",
            "From the request's head to the end of its answer.",
            ("method", "route"),
            buckets=DURATIONS_S,
            registry=self._registry,
        )
        self._placed = Counter("tillroll_orders_placed", "Orders placed.", registry=self._registry)
        self._refused = Counter(
            "tillroll_orders_refused", "Orders not placed, by reason.", ("reason",), registry=self._registry
        )

    def answered(self, method: str, route: str, status: int, seconds: float) -> None:
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def placed(self) -> None:
        self._placed.inc()

    def refused(self, reason: str) -> None:
        self._refused.labels(reason).inc()

    def text(self) -> bytes:
        """These numbers, then the other parts' and the process's own: the names differ."""
        return b"".join(map(generate_latest, self._shown))
