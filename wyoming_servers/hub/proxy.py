"""One client's line to one worker: events through in both directions, nothing kept.

Back-pressure comes from the sockets alone: an event is read from one side only after the one before it was
taken by the other. When the client goes, the line is closed at once, which is how a worker learns to stop; when
the worker goes in the middle of a request, the client is told.
"""

import asyncio
import contextlib
import time
from dataclasses import dataclass

from wyoming.event import Event

from wyoming_servers.errors import RequestError, WorkerError
from wyoming_servers.hub.metrics import Metrics
from wyoming_servers.hub.worker import State, Worker
from wyoming_servers.wire.client import Client
from wyoming_servers.wire.connection import Connection

TITLES = {
    "vad": "voice detection",
    "stt": "speech-to-text",
    "tts": "text-to-speech",
    "llm": "the language model",
}
_WAIT_SECONDS = 3.0
"""How long a request waits for a worker that is starting: about as long as a swap of models takes."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Service:
    """What begins and ends one request of a task, seen from the hub."""

    starts: frozenset[str]
    """Events of the client that begin a request."""
    asks: frozenset[str]
    """Events, of either side, after which the answer is due."""
    first: frozenset[str]
    """Events of the worker that carry the first of the answer."""
    ends: frozenset[str]
    """Events of the worker that end it."""
    queues: bool = False
    """Whether every start is a request of its own, even before the last one has ended."""


SERVICES = {
    "vad": Service(
        starts=frozenset({"audio-start"}), asks=frozenset(), first=frozenset({"voice-started"}), ends=frozenset()
    ),
    "stt": Service(
        starts=frozenset({"transcribe", "audio-start"}),
        asks=frozenset({"audio-stop", "voice-stopped"}),
        first=frozenset({"transcript"}),
        ends=frozenset({"transcript"}),
    ),
    "tts": Service(
        starts=frozenset({"synthesize", "synthesize-start"}),
        asks=frozenset(),
        first=frozenset({"audio-chunk"}),
        ends=frozenset({"audio-stop", "synthesize-stopped"}),
        queues=True,
    ),
    "llm": Service(
        starts=frozenset({"transcript"}),
        asks=frozenset(),
        first=frozenset({"handled-chunk", "handled", "intent"}),
        ends=frozenset({"handled", "not-handled", "intent", "intents-stop", "not-recognized"}),
        queues=True,
    ),
}


def _sentence(words: str) -> str:
    """Return words as the beginning of a sentence."""
    return words[0].upper() + words[1:]


async def _let_others() -> None:
    """Give way after each event: reading and writing buffered data never waits, and a second of audio is 100 events."""
    await asyncio.sleep(0)


async def connect(worker: Worker) -> Client:
    """Return a line to a worker, waiting a moment for one that is starting.

    Raises RequestError with a sentence for the client if it is not there in time.
    """
    title = TITLES[worker.plan.task]
    if not worker.plan.is_set_up:
        raise RequestError("not-set-up", f"There is no {title.removeprefix('the ')} here.")
    if worker.plan.obstacle:
        raise RequestError("not-installed", f"{_sentence(title)} cannot be used: see `hearth doctor`.")
    deadline = time.monotonic() + _WAIT_SECONDS
    while True:
        if worker.is_serving or worker.plan.is_external:
            client = Client(worker.plan.uri or "", connect_seconds=max(0.1, deadline - time.monotonic()))
            with contextlib.suppress(WorkerError):
                return await client.__aenter__()
        left = deadline - time.monotonic()
        if left <= 0 or (worker.next_start or 0.0) > time.time() + left:
            break
        await worker.wait_until(State.READY, State.EXTERNAL, seconds=min(left, 0.1))
        if worker.is_serving:
            await asyncio.sleep(min(left, 0.05))
    if worker.plan.is_external:
        raise RequestError("unreachable", f"The server for {title} cannot be reached.")
    if worker.has_never_worked:
        raise RequestError("unavailable", f"{_sentence(title)} does not start: see `hearth doctor`.")
    raise RequestError("starting", f"{_sentence(title)} is still starting. Please try again in a moment.")


class Line:
    """A connection's use of one worker, kept for as long as both ends live."""

    def __init__(self, connection: Connection, worker: Worker, metrics: Metrics) -> None:
        """Prepare; `send` connects."""
        self._connection = connection
        self._worker = worker
        self._metrics = metrics
        self._service = SERVICES[worker.plan.task]
        self._client: Client | None = None
        self._pump: asyncio.Task[None] | None = None
        self._open = 0
        """Requests the worker has not answered to the end."""
        self._is_stream = False
        self._asked_at: float | None = None

    async def send(self, event: Event) -> None:
        """Pass one event on to the worker. Raises RequestError or WorkerError if that is not possible."""
        if event.type in self._service.starts:
            self._begin(event.type)
        elif event.type in self._service.asks:
            self._asked_at = time.monotonic()
        if self._client is None or self._pump is None or self._pump.done():
            if self._client is not None and not self._open:
                return  # the tail of a request that is over, and its worker is gone
            self._client = await self._connect()
            self._pump = self._connection.spawn(self._carry_back(self._client))
        try:
            await self._client.send(event)
        except WorkerError:
            if self._open:
                raise self._lost() from None
        await _let_others()

    def close(self) -> None:
        """Note how a request in progress ended: the client went away."""
        self._end("cancelled")

    def _begin(self, event_type: str) -> None:
        if self._open and (self._is_stream or not self._service.queues):
            return
        self._open += 1
        self._is_stream = event_type == "synthesize-start"
        self._asked_at = time.monotonic()

    async def _connect(self) -> Client:
        try:
            return await connect(self._worker)
        except RequestError as err:
            self._end(err.code)
            raise

    async def _carry_back(self, client: Client) -> None:
        """Pass everything the worker says on to the client."""
        try:
            while (event := await client.receive()) is not None:
                if event.type == "error":
                    await self._carry_error(event)
                    return
                self._note(event.type)
                await self._connection.send(event)
                await _let_others()
        except WorkerError:
            pass  # what matters is whether somebody waits for an answer, below
        finally:
            await client.__aexit__(None, None, None)
        if self._open:
            raise self._lost()

    async def _carry_error(self, event: Event) -> None:
        """Pass a refusal on and close; a worker that hangs up on an idle line is nobody's business."""
        if not self._open and event.data.get("code") == "idle":
            return
        self._end("error")
        await self._connection.send(event)
        self._connection.close()

    def _note(self, event_type: str) -> None:
        """Measure, and notice the end of a request."""
        if event_type in self._service.asks:
            self._asked_at = time.monotonic()
        if not self._open:
            return
        if event_type in self._service.first and self._asked_at is not None:
            self._metrics.observe(f"{self._worker.plan.task}_first", time.monotonic() - self._asked_at)
            self._asked_at = None
        if event_type in self._service.ends and not (self._is_stream and event_type == "audio-stop"):
            self._open -= 1
            self._is_stream = False
            self._metrics.count(self._worker.plan.task, "ok")

    def _end(self, outcome: str) -> None:
        """Give up whatever is not answered."""
        if self._open:
            self._open = 0
            self._metrics.count(self._worker.plan.task, outcome)

    def _lost(self) -> WorkerError:
        self._end(WorkerError.code)
        self._worker.doubt()
        title = TITLES[self._worker.plan.task]
        return WorkerError(f"{_sentence(title)} stopped working in the middle of the request. Please try again.")
