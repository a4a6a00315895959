"""What the hub counts, for Prometheus."""

from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram
from prometheus_client.exposition import CONTENT_TYPE_LATEST, generate_latest

__all__ = ["CONTENT_TYPE_LATEST", "Metrics"]

_SECONDS = (0.005, 0.01, 0.025, 0.05, 0.1, 0.2, 0.3, 0.5, 0.75, 1.0, 1.5, 2.5, 5.0, 10.0, 30.0)


class Metrics:
    """One hub's numbers."""

    def __init__(self) -> None:
        """Start from zero, in a registry of their own."""
        self._registry = CollectorRegistry()
        self._requests = Counter(
            "hearth_requests",
            "Requests by service and how they ended.",
            ["service", "outcome"],
            registry=self._registry,
        )
        self._stages = Histogram(
            "hearth_stage_seconds",
            "Time from a stage's input to its output.",
            ["stage"],
            buckets=_SECONDS,
            registry=self._registry,
        )
        self._restarts = Gauge(
            "hearth_worker_restarts", "Times a worker was started again.", ["worker"], registry=self._registry
        )
        self._up = Gauge("hearth_worker_up", "1 if a worker can be used.", ["worker"], registry=self._registry)
        self._rss = Gauge(
            "hearth_worker_rss_bytes", "Memory a worker keeps resident.", ["worker"], registry=self._registry
        )
        self._connections = Gauge("hearth_connections", "Wyoming clients connected.", registry=self._registry)

    def count(self, service: str, outcome: str) -> None:
        """Count a request that ended."""
        self._requests.labels(service, outcome).inc()

    def observe(self, stage: str, seconds: float) -> None:
        """Note how long a stage took."""
        self._stages.labels(stage).observe(seconds)

    def set_worker(self, worker: str, *, is_up: bool, restarts: int, rss_bytes: int | None) -> None:
        """Note how a worker is now."""
        self._up.labels(worker).set(is_up)
        self._restarts.labels(worker).set(restarts)
        self._rss.labels(worker).set(rss_bytes or 0)

    def set_connections(self, number: int) -> None:
        """Note how many clients there are now."""
        self._connections.set(number)

    def exposition(self) -> bytes:
        """Return everything in Prometheus' text format."""
        return generate_latest(self._registry)
