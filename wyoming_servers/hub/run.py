"""`hearth run`: everything that makes a hub, started in order and ended in order."""

import asyncio
import contextlib
import logging
import signal
import socket
import sys
from collections.abc import Callable

from wyoming_servers.hub.gateway import Gateway
from wyoming_servers.hub.homes import Homes, load_home
from wyoming_servers.hub.http import HttpApi
from wyoming_servers.hub.metrics import Metrics
from wyoming_servers.hub.router import Router
from wyoming_servers.hub.selfcheck import Report, SelfCheck
from wyoming_servers.hub.status import Status
from wyoming_servers.hub.supervisor import Supervisor
from wyoming_servers.hub.table import render, status_rows
from wyoming_servers.hub.worker import Pace
from wyoming_servers.settings import Settings
from wyoming_servers.wire.limits import Limits
from wyoming_servers.wire.server import Server, parse_uri

_LOGGER = logging.getLogger(__name__)
_SWITCH_SECONDS = 0.0005
"""The event loop waits this long for a thread that recognises a sentence; Python's own 5 ms add up to delays."""
# Little enough that requests in progress and then the workers can end within six seconds.
_LIMITS = Limits(drain_seconds=2.0)


class Hub:
    """One running Hearth."""

    def __init__(self, settings: Settings, pace: Pace | None = None) -> None:
        """Put the parts together. Raises SettingsError for settings that cannot work."""
        home, source = load_home(settings)
        self.supervisor = Supervisor(settings, pace)
        self._settings = settings
        self.metrics = Metrics()
        self.router = Router(home)
        stt = self.supervisor["stt"].plan
        self.homes = Homes(
            settings, self.router, home, source, trains=stt.engine == "pocketsphinx" and stt.obstacle is None
        )
        self.status = Status(self.supervisor, self.homes)
        self.gateway = Gateway(self.supervisor, self.router, self.metrics, lambda: self.homes.home.language)
        self.server = Server(self.gateway.handler, _LIMITS)
        self._preparing: asyncio.Task[None] | None = None
        self.http = HttpApi(settings, self.status, self.homes, self.router, self.metrics)

    async def start(self) -> None:
        """Listen and start the workers. Raises SettingsError if an address is taken."""
        self.status.count_connections = lambda: self.server.connections
        await self.server.start(self._settings.hub.uri)
        self.status.uri = self.server.uri
        await self.http.start()
        await self.homes.start()
        self.supervisor.start()
        self._preparing = asyncio.create_task(self.router.prepare())
        _LOGGER.info("Wyoming at %s, HTTP at %s", self.server.uri, self.http.url)

    async def check(self) -> Report:
        """Run the self-check."""
        report = await SelfCheck(self.server.uri, self.supervisor, self.router).run()
        self.status.self_check = report.to_json()
        return report

    async def stop(self) -> None:
        """Stop listening, let requests end for a moment, end the workers; nothing is left running."""
        if self._preparing:
            self._preparing.cancel()
            await asyncio.gather(self._preparing, return_exceptions=True)
        await asyncio.gather(self.server.stop(), self.http.stop())
        await asyncio.gather(self.supervisor.stop(), self.homes.stop())


async def run_hub(settings: Settings, *, check_only: bool, say: Callable[[str], None]) -> int:
    """Run until SIGTERM or SIGINT, or with `check_only` until the self-check is over; return the exit status."""
    sys.setswitchinterval(_SWITCH_SECONDS)
    stopping = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, stopping.set)
    hub = Hub(settings)
    try:
        await hub.start()
        waiting = asyncio.create_task(stopping.wait())
        checking = asyncio.create_task(_check(hub, say))
        try:
            await asyncio.wait({waiting, checking}, return_when=asyncio.FIRST_COMPLETED)
            if not check_only:
                await waiting
            has_passed = checking.done() and checking.result()
        finally:
            waiting.cancel()
            checking.cancel()
            await asyncio.gather(waiting, checking, return_exceptions=True)
    finally:
        with contextlib.suppress(asyncio.CancelledError):
            await hub.stop()
    return 0 if has_passed or not check_only else 1


async def _check(hub: Hub, say: Callable[[str], None]) -> bool:
    report = await hub.check()
    say(render(status_rows(hub.status.everything())))
    for stage, sentence in report.failures.items():
        say(f"Self-check: {stage}: {sentence}")
    place = _place(hub.server.uri)
    if report.has_passed:
        say(f"Self-check passed in {report.seconds:.1f} s.")
        say(f"Hearth is ready: Home Assistant → Wyoming Protocol → {place}")
    else:
        say(f"Self-check failed. Hearth runs on at {place} with what works; `hearth doctor` says more.")
    return report.has_passed


def _place(uri: str) -> str:
    """Return what to type into Home Assistant: HOST:PORT."""
    scheme, host, port = parse_uri(uri)
    if scheme != "tcp":
        return uri
    if host in {"0.0.0.0", "::"}:  # noqa: S104  # bound by the user's own wish
        host = socket.gethostname()
    return f"{host}:{port}"
