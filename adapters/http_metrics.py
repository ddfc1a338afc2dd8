"""Numbers for an operator's monitoring: requests by route and status, their duration, orders, projections."""

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from prometheus_client import REGISTRY, CollectorRegistry, Counter, Histogram, generate_latest
from prometheus_client.exposition import CONTENT_TYPE_LATEST
from prometheus_client.metrics_core import CounterMetricFamily, GaugeMetricFamily, Metric
from prometheus_client.registry import Collector

from adapters.http_admission import Admission
from adapters.projection_states import STANDS_STILL, Look, Standing
from adapters.seal_lag import SealLook

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
        """These numbers, then the other parts' and the process's own: the names differ.

        Takes as long as the parts take; those of the projections ask the database.
        """
        return b"".join(map(generate_latest, self._shown))


PROJECTION_NUMBERS: Final[Sequence[tuple[str, str, Callable[[Standing], float | None]]]] = (
    ("position", "Up to where in its log it is applied.", lambda one: one.position),
    ("lag_events", "Events of its log that are not applied yet.", lambda one: one.behind_events),
    ("lag_seconds", "Age of the oldest event that is not applied yet.", lambda one: one.behind_s),
    (
        "stopped",
        "1 when it moves again only after somebody did something: it met an event that it cannot apply, "
        "or another version made its tables.",
        lambda one: float(one.condition in STANDS_STILL),
    ),
)
"""Of each projection: the name's end, what it means, and the value; none where that cannot be told."""


class ProjectionNumbers(Collector):
    """What the database says of all projections, whichever process moves them.

    `states`: the latest look, None when the database gave no answer in time.
    """

    def __init__(self, states: Callable[[], Look | None]) -> None:
        self._states = states
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        states = self._states()
        is_whole = states is not None and not states.missing
        yield GaugeMetricFamily(
            "tillroll_projections_known",
            "1 when the database told how all projections stand; 0: what it did not tell is left out.",
            float(is_whole),
        )
        for name, means, value_of in PROJECTION_NUMBERS:
            metric = GaugeMetricFamily(f"tillroll_projection_{name}", means, labels=("projection", "log"))
            for one in () if states is None else states.standings:
                value = value_of(one)
                if value is not None:
                    metric.add_metric((one.name, one.log), value)
            yield metric


class SealNumbers(Collector):
    """How far sealing is behind, whichever process seals. `lags`: the latest look, None without an answer."""

    def __init__(self, lags: Callable[[], SealLook | None]) -> None:
        self._lags = lags
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        look = self._lags()
        is_whole = look is not None and not look.missing
        yield GaugeMetricFamily(
            "tillroll_seal_lags_known",
            "1 when all logs told how far they are sealed; 0: those that did not are left out.",
            float(is_whole),
        )
        events = GaugeMetricFamily(
            "tillroll_seal_lag_events", "Events of the log that are not sealed yet.", labels=("log",)
        )
        seconds = GaugeMetricFamily(
            "tillroll_seal_lag_seconds", "Age of the oldest event that is not sealed yet.", labels=("log",)
        )
        for lag in () if look is None else look.lags:
            events.add_metric((lag.log,), lag.events)
            if lag.oldest_s is not None:
                seconds.add_metric((lag.log,), lag.oldest_s)
        yield from (events, seconds)


class AdmissionNumbers(Collector):
    """Requests under way, how many there may be, and what was refused because there were."""

    def __init__(self, admission: Admission) -> None:
        self._admission = admission
        self.registry = CollectorRegistry()
        self.registry.register(self)

    def collect(self) -> Iterator[Metric]:
        lines = {
            "reads": self._admission.reads,
            "writes": self._admission.writes,
            "payments": self._admission.payments,
        }
        under_way = GaugeMetricFamily(
            "tillroll_http_requests_under_way", "Requests being worked on.", labels=("kind",)
        )
        bound = GaugeMetricFamily(
            "tillroll_http_requests_bound", "How many of them there may be.", labels=("kind",)
        )
        for kind, line in lines.items():
            under_way.add_metric((kind,), line.under_way)
            bound.add_metric((kind,), line.bound)
        refused = CounterMetricFamily(
            "tillroll_http_overloaded", "Requests refused at once because too many were under way."
        )
        refused.add_metric((), self._admission.refused)
        yield from (under_way, bound, refused)
