"""One worker: its process, or a server somewhere else, kept up and watched.

A child is started, asked `describe` until it answers, then asked again every few seconds. When it ends, or
stops answering, it is started again after a pause that doubles with every failure and is forgotten after a
minute of health. What it wrote last is kept, because that is where a process says why it ended.
"""

import asyncio
import contextlib
import logging
import os
import random
import signal
import sys
import time
from collections import deque
from dataclasses import dataclass
from enum import StrEnum

from wyoming.info import Info

from wyoming_servers.engines.table import EngineRow
from wyoming_servers.errors import WorkerError
from wyoming_servers.hub.child import rss_bytes, worker_command, worker_environ
from wyoming_servers.settings import Settings
from wyoming_servers.wire.client import describe

_LOGGER = logging.getLogger(__name__)
_KEPT_LINES = 8


class State(StrEnum):
    """What a worker is doing."""

    ABSENT = "absent"
    """Not set up, which is no failure."""
    STARTING = "starting"
    READY = "ready"
    EXTERNAL = "external"
    """A server somewhere else, and it answers."""
    RESTARTING = "restarting"
    """It ended, and is started again after a pause."""
    FAILED = "failed"
    """It cannot be used, and starting it again would not help or has not helped yet."""


SERVING = frozenset({State.READY, State.EXTERNAL})


@dataclass(frozen=True, slots=True, kw_only=True)
class Pace:
    """How patient the supervisor is, in seconds."""

    poll: float = 0.1
    """Between two questions to a worker that is starting."""
    start: float = 600.0
    """For a worker to load its model."""
    check: float = 5.0
    """Between two questions to a worker that is ready."""
    answer: float = 5.0
    """For an answer to `describe`."""
    missed: int = 4
    """Answers missed in a row before a worker counts as hung."""
    first_pause: float = 0.5
    longest_pause: float = 30.0
    healthy: float = 60.0
    """How long a worker must have been ready for its failures to be forgotten."""
    end: float = 2.5
    """Between SIGTERM and SIGKILL."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Plan:
    """What a task's worker is to be."""

    task: str
    engine: str | None = None
    row: EngineRow | None = None
    model: str | None = None
    uri: str | None = None
    """Where it listens."""
    is_external: bool = False
    obstacle: str | None = None
    """Why it cannot be started, as a sentence."""
    is_set_up: bool = True


class Worker:
    """A task's worker as the hub knows it."""

    def __init__(self, plan: Plan, settings: Settings, pace: Pace) -> None:
        """Prepare; `run` starts it."""
        self.plan = plan
        self.info: Info | None = None
        """What it said of itself last."""
        self.restarts = 0
        self.last_error: str | None = plan.obstacle
        self.state = State.STARTING if plan.is_set_up else State.ABSENT
        if plan.is_set_up and plan.obstacle:
            self.state = State.FAILED
        self.since = time.time()
        self.next_start: float | None = None
        """When it is started again, while it waits for that."""
        self._settings = settings
        self._pace = pace
        self._process: asyncio.subprocess.Process | None = None
        self._lines: deque[str] = deque(maxlen=_KEPT_LINES)
        self._changed = asyncio.Event()
        self.settled = asyncio.Event()
        """Set once its first start has worked or failed."""
        if self.state is not State.STARTING:
            self.settled.set()
        self._ready_at: float | None = None
        self._is_ending = False
        self._doubted = asyncio.Event()

    @property
    def is_serving(self) -> bool:
        """Whether requests can be given to it."""
        return self.state in SERVING

    @property
    def has_never_worked(self) -> bool:
        """Whether it failed and was not ready before: the reason lies in how it is set up."""
        return self.last_error is not None and self.info is None

    @property
    def pid(self) -> int | None:
        """The child's process number, if it runs."""
        return self._process.pid if self._process and self._process.returncode is None else None

    @property
    def rss_bytes(self) -> int | None:
        """What the child keeps in memory."""
        return rss_bytes(self.pid)

    async def wait_until(self, *states: State, seconds: float) -> bool:
        """Wait for one of some states; return whether it came in time."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                while self.state not in states:
                    await self._changed.wait()
        return self.state in states

    def doubt(self) -> None:
        """Give it no more requests until it has answered again: one of its connections broke.

        A process that was killed may still take a connection for a moment before its end is known.
        """
        if self.state is State.READY:
            self._set(State.STARTING)
            self._doubted.set()

    async def run(self) -> None:
        """Keep the worker up until cancelled; returns at once if there is nothing to keep up."""
        if self.state is not State.STARTING:
            return
        if self.plan.is_external:
            await self._watch_elsewhere()
        pause = self._pace.first_pause
        while True:
            why = await self._live()
            if self._is_ending:
                return
            if self._was_healthy():
                pause = self._pace.first_pause
            self._fail(why)
            seconds = pause * random.uniform(0.8, 1.2)  # noqa: S311  # only keeps workers out of step
            self.next_start = time.time() + seconds
            await asyncio.sleep(seconds)
            self.next_start = None
            pause = min(2 * pause, self._pace.longest_pause)
            self.restarts += 1

    async def end(self) -> None:
        """Ask the child to end and make sure that it does."""
        self._is_ending = True
        process = self._process
        if process is None or process.returncode is not None:
            return
        with contextlib.suppress(ProcessLookupError):
            process.send_signal(signal.SIGTERM)
            process.send_signal(signal.SIGCONT)
        try:
            async with asyncio.timeout(self._pace.end):
                await process.wait()
        except TimeoutError:
            with contextlib.suppress(ProcessLookupError):
                process.kill()
            await process.wait()

    def _set(self, state: State) -> None:
        if state is self.state:
            return
        self.state, self.since = state, time.time()
        if state is not State.STARTING:
            self.settled.set()
        if state in SERVING:
            self._ready_at = time.monotonic()
            _LOGGER.info("%s worker is ready (%s)", self.plan.task, self.plan.engine or self.plan.uri)
        self._changed.set()
        self._changed = asyncio.Event()

    def _was_healthy(self) -> bool:
        return self._ready_at is not None and time.monotonic() - self._ready_at >= self._pace.healthy

    def _fail(self, why: str) -> None:
        """Note a failure. It is `failed` until it was ready once, for then the reason lies in how it is set up."""
        self.last_error = why
        self._set(State.FAILED if self._ready_at is None else State.RESTARTING)
        self._ready_at = None
        _LOGGER.warning("%s worker: %s", self.plan.task, why)

    async def _live(self) -> str:
        """Start the child and watch it; return why it ended, as a sentence."""
        assert self.plan.uri is not None and self.plan.engine is not None  # noqa: S101  # a child has both
        task = self.plan.task
        self._lines.clear()
        process = self._process = await asyncio.create_subprocess_exec(
            *worker_command(task, self.plan.uri, self.plan.engine, self._settings.log_level),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=worker_environ(task, self._settings, os.environ),
            start_new_session=True,
        )
        if self._is_ending:
            process.kill()
        self._set(State.STARTING)
        assert process.stderr is not None  # noqa: S101  # it was asked for above
        reading = asyncio.create_task(self._pass_on(process.stderr))
        watching = asyncio.create_task(self._watch(process))
        try:
            await process.wait()
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(asyncio.shield(reading), 1.0)
        finally:
            reading.cancel()
            watching.cancel()
            hung, _ = await asyncio.gather(watching, reading, return_exceptions=True)
        return hung if isinstance(hung, str) else self._cause(process.returncode or 0)

    async def _watch(self, process: asyncio.subprocess.Process) -> str:
        """Ask the child how it is; kill it when it does not answer and return that."""
        assert self.plan.uri is not None  # noqa: S101  # a child has one
        begun, missed = time.monotonic(), 0
        while True:
            is_up = self.state is State.READY
            if await self._is_doubted(self._pace.check if is_up and not missed else self._pace.poll):
                begun, missed, is_up = time.monotonic(), 0, False
            try:
                self.info = await describe(self.plan.uri, seconds=self._pace.answer)
            except WorkerError:
                missed += 1
                if missed < self._pace.missed if is_up else time.monotonic() - begun < self._pace.start:
                    continue
                with contextlib.suppress(ProcessLookupError):
                    process.kill()
                return "It did not answer any more and was ended." if is_up else "It did not become ready in time."
            missed = 0
            self._set(State.READY)

    async def _is_doubted(self, seconds: float) -> bool:
        """Wait; return early, and True, if its health is doubted."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._doubted.wait()
        is_doubted = self._doubted.is_set()
        self._doubted.clear()
        return is_doubted

    async def _watch_elsewhere(self) -> None:
        """Ask a server somewhere else how it is, for ever."""
        assert self.plan.uri is not None  # noqa: S101  # that is where it is
        while True:
            try:
                self.info = await describe(self.plan.uri, seconds=self._pace.answer)
            except WorkerError as err:
                if self.state is not State.FAILED:
                    self.last_error = str(err)
                    _LOGGER.warning("%s worker: %s", self.plan.task, err)
                self._set(State.FAILED)
                await asyncio.sleep(min(2.0, self._pace.check))
            else:
                self._set(State.EXTERNAL)
                await asyncio.sleep(self._pace.check)

    async def _pass_on(self, stderr: asyncio.StreamReader) -> None:
        """Let the child's words reach our standard error, and keep the last lines."""
        rest = b""
        while chunk := await stderr.read(8192):
            sys.stderr.buffer.write(chunk)
            sys.stderr.buffer.flush()
            *lines, rest = (rest + chunk).split(b"\n")
            rest = rest[-8192:]
            self._lines.extend(text for line in lines if (text := line.decode(errors="replace").strip()))
        if text := rest.decode(errors="replace").strip():
            self._lines.append(text)

    def _cause(self, status: int) -> str:
        if status < 0:
            try:
                how = f"It was ended by {signal.Signals(-status).name}"
            except ValueError:
                how = f"It was ended by signal {-status}"
        else:
            how = f"It ended with exit code {status}"
        last = self._lines[-1].removeprefix("hearth: ")[:300] if self._lines else ""
        return f"{how}: {last}" if last else f"{how}."
