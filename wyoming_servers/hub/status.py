"""What the hub knows of itself, for people and for monitors."""

import os
import platform
import time
from collections.abc import Callable
from typing import Any

from wyoming_servers import __version__
from wyoming_servers.hub.child import rss_bytes
from wyoming_servers.hub.homes import Homes
from wyoming_servers.hub.metrics import Metrics
from wyoming_servers.hub.supervisor import Supervisor
from wyoming_servers.hub.worker import Worker


class Status:
    """A view of the running hub."""

    def __init__(self, supervisor: Supervisor, homes: Homes) -> None:
        """Look at the hub's parts."""
        self._supervisor = supervisor
        self._homes = homes
        self._begun = time.time()
        self.uri = ""
        """Where the Wyoming side listens."""
        self.http_url = ""
        self.self_check: dict[str, Any] = {"state": "running"}
        self.count_connections: Callable[[], int] = lambda: 0
        """How many Wyoming clients there are."""

    def health(self) -> dict[str, Any]:
        """Return whether everything that is set up can be used, and why not."""
        return {
            "status": "ok" if self._supervisor.is_healthy else "degraded",
            "workers": {worker.plan.task: _health(worker) for worker in self._supervisor},
        }

    def everything(self) -> dict[str, Any]:
        """Return all there is to show."""
        return {
            "version": __version__,
            "python": platform.python_version(),
            "uptime_seconds": round(time.time() - self._begun, 1),
            "uri": self.uri,
            "http": self.http_url,
            "pid": os.getpid(),
            "rss_bytes": rss_bytes(os.getpid()),
            "connections": self.count_connections(),
            "home": {
                "version": self._homes.home.version,
                "language": self._homes.home.language,
                "source": self._homes.source.value,
                "entities": len(self._homes.home.entities),
                "areas": len(self._homes.home.areas),
            },
            "training": self._homes.training,
            "workers": {worker.plan.task: worker_status(worker) for worker in self._supervisor},
            "self_check": self.self_check,
        }

    def measure(self, metrics: Metrics) -> None:
        """Bring the gauges up to date."""
        for worker in self._supervisor:
            if worker.plan.is_set_up:
                metrics.set_worker(
                    worker.plan.task,
                    is_up=worker.is_serving,
                    restarts=worker.restarts,
                    rss_bytes=worker.rss_bytes,
                )
        metrics.set_worker("hub", is_up=True, restarts=0, rss_bytes=rss_bytes(os.getpid()))
        metrics.set_connections(self.count_connections())


def _health(worker: Worker) -> dict[str, Any]:
    health: dict[str, Any] = {"state": worker.state.value, "since": round(worker.since, 3)}
    health["restarts"] = worker.restarts
    if not worker.is_serving and worker.last_error:
        health["error"] = worker.last_error
    if worker.next_start is not None:
        health["next_start"] = round(worker.next_start, 3)
    return health


def worker_status(worker: Worker) -> dict[str, Any]:
    """Return all there is to show of one worker."""
    plan = worker.plan
    return {
        "engine": plan.engine,
        "title": plan.row.title if plan.row else None,
        "model": plan.model or model_name(worker),
        "is_starter": bool(plan.row and plan.row.is_starter and not plan.model),
        "state": worker.state.value,
        "since": round(worker.since, 3),
        "uri": plan.uri if plan.is_external else None,
        "pid": worker.pid,
        "rss_bytes": worker.rss_bytes,
        "restarts": worker.restarts,
        "last_error": worker.last_error,
        "next_start": worker.next_start,
    }


def model_name(worker: Worker) -> str | None:
    """Return what the worker calls its model, if it has one of a name."""
    info = worker.info
    if info is None:
        return None
    names = [model.name for asr in info.asr for model in asr.models]
    names += [model.name for handle in info.handle for model in handle.models]
    names += [voice.name for tts in info.tts for voice in tts.voices]
    return names[0] if names else None
