"""One spoken sentence through everything, at start: tts → vad → stt → router → tts, by way of our own port."""

import array
import asyncio
import contextlib
import time
from collections.abc import AsyncIterator, Coroutine
from dataclasses import dataclass, field
from typing import Any, TypeVar

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.error import Error
from wyoming.event import Event, Eventable
from wyoming.handle import Handled, NotHandled
from wyoming.info import SelectProgram
from wyoming.intent import Intent, NotRecognized
from wyoming.tts import Synthesize
from wyoming.vad import VoiceStarted

from wyoming_servers.errors import HearthError
from wyoming_servers.hub.router import Router
from wyoming_servers.hub.sentence import check_sentences
from wyoming_servers.hub.supervisor import Supervisor
from wyoming_servers.wire.client import Client

T = TypeVar("T")
_SETTLE_SECONDS = 600.0
"""How long workers may take to load or build their models."""
_STAGE_SECONDS = 30.0
_DETECT_SECONDS = 5.0
"""Detectors that hear no speech say nothing, so this is how long one may take to hear it."""
_CHANCY = frozenset({"stt", "route"})
"""Stages that may fail with one sentence and work with the next."""
_CHUNK_MS = 20
_TAIL_MS = 1_500
"""Silence after the sentence, for a worker that ends the turn itself."""


class CheckError(HearthError):
    """A stage of the self-check failed."""

    code = "check-failed"


@dataclass(slots=True, kw_only=True)
class Report:
    """What a self-check found."""

    failures: dict[str, str] = field(default_factory=dict)
    """Stage → what is wrong, as a sentence."""
    timings_ms: dict[str, float] = field(default_factory=dict)
    """Stage → how long it took."""
    seconds: float = 0.0

    @property
    def has_passed(self) -> bool:
        """Whether everything that is set up works."""
        return not self.failures

    def to_json(self) -> dict[str, Any]:
        """Return it for the status."""
        return {
            "state": "passed" if self.has_passed else "failed",
            "failures": self.failures,
            "timings_ms": {stage: round(ms, 1) for stage, ms in self.timings_ms.items()},
            "seconds": round(self.seconds, 2),
        }


@dataclass(frozen=True, slots=True, kw_only=True)
class Speech:
    """Audio of one reply."""

    rate_hz: int
    width_bytes: int
    channels: int
    pcm: bytes

    @property
    def is_silent(self) -> bool:
        """Whether nothing can be heard in it."""
        return self.width_bytes == 2 and not any(array.array("h", self.pcm[: len(self.pcm) // 2 * 2]))

    def events(self) -> list[Event | Eventable]:
        """Return it as events, with silence after it."""
        step = self.rate_hz * _CHUNK_MS // 1000 * self.width_bytes * self.channels
        pcm = self.pcm + bytes(step * (_TAIL_MS // _CHUNK_MS))
        form = {"rate": self.rate_hz, "width": self.width_bytes, "channels": self.channels}
        chunks = [AudioChunk(audio=pcm[at : at + step], **form).event() for at in range(0, len(pcm), step)]
        return [AudioStart(**form).event(), *chunks, AudioStop().event()]


class SelfCheck:
    """One run of the check against the hub at `uri`."""

    def __init__(self, uri: str, supervisor: Supervisor, router: Router) -> None:
        """Check what the supervisor runs, with a sentence the router knows."""
        self._uri = uri
        self._supervisor = supervisor
        self._router = router
        self._report = Report()

    async def run(self) -> Report:
        """Wait for the workers, then speak and listen; never raises but for cancellation."""
        begun = time.monotonic()
        await self._supervisor.wait_settled(_SETTLE_SECONDS)
        for worker in self._supervisor:
            if worker.plan.is_set_up and not worker.is_serving:
                self._report.failures[worker.plan.task] = worker.last_error or "It did not become ready."
        broken = dict(self._report.failures)
        for sentence in await check_sentences(self._router):
            self._report = Report(failures=dict(broken))
            await self._take_turn(sentence)
            found = self._report.failures.keys() - broken.keys()
            if not found or found - _CHANCY:
                break
        self._report.seconds = time.monotonic() - begun
        return self._report

    async def _take_turn(self, sentence: str) -> None:
        """Say a sentence, hear it, do what it says, and answer, as far as there are workers for it."""
        heard = sentence
        speech = await self._stage("tts", self._synthesize(sentence)) if self._uses("tts") else None
        if speech and self._uses("vad"):
            await self._stage("vad", self._detect(speech), seconds=_DETECT_SECONDS)
        if speech and self._uses("stt"):
            heard = await self._stage("stt", self._transcribe(speech)) or ""
        if heard:
            await self._stage("route", self._ask(heard))
        if speech and heard:
            await self._stage("reply", self._synthesize(sentence))

    def _uses(self, task: str) -> bool:
        return self._supervisor[task].plan.is_set_up and task not in self._report.failures

    async def _stage(self, stage: str, work: Coroutine[Any, Any, T], *, seconds: float = _STAGE_SECONDS) -> T | None:
        """Run one stage and note how long it took, or why it failed."""
        begun = time.monotonic()
        try:
            async with asyncio.timeout(seconds):
                result = await work
        except TimeoutError:
            self._report.failures[stage] = f"There was no answer within {seconds:g} seconds."
        except HearthError as err:
            self._report.failures[stage] = str(err)
        else:
            self._report.timings_ms.setdefault(stage, (time.monotonic() - begun) * 1000)
            return result
        return None

    async def _synthesize(self, text: str) -> Speech:
        pcm, form = bytearray(), None
        async with self._exchange([Synthesize(text=text)]) as answers:
            async for event in answers:
                if AudioChunk.is_type(event.type):
                    chunk = AudioChunk.from_event(event)
                    form = form or (chunk.rate, chunk.width, chunk.channels)
                    pcm += chunk.audio
                elif AudioStop.is_type(event.type):
                    break
        if form is None:
            raise CheckError("It sent no audio.")
        speech = Speech(rate_hz=form[0], width_bytes=form[1], channels=form[2], pcm=bytes(pcm))
        if speech.is_silent:
            raise CheckError("It sent nothing but silence.")
        return speech

    async def _detect(self, speech: Speech) -> None:
        async with self._exchange([SelectProgram(name="vad"), *speech.events()]) as answers:
            async for event in answers:
                if VoiceStarted.is_type(event.type):
                    return
        raise CheckError("It heard no speech in a spoken sentence.")

    async def _transcribe(self, speech: Speech) -> str:
        async with self._exchange([Transcribe(language=self._router.home.language), *speech.events()]) as answers:
            async for event in answers:
                if Transcript.is_type(event.type):
                    if text := Transcript.from_event(event).text.strip():
                        return text
                    break
        raise CheckError("It understood no word of a spoken sentence.")

    async def _ask(self, text: str) -> None:
        async with self._exchange([Transcript(text=text, language=self._router.home.language)]) as answers:
            async for event in answers:
                if Intent.is_type(event.type) or Handled.is_type(event.type):
                    return
                if NotRecognized.is_type(event.type) or NotHandled.is_type(event.type):
                    break
        raise CheckError("What was heard is no command and nothing else answers it.")

    @contextlib.asynccontextmanager
    async def _exchange(self, events: list[Event | Eventable]) -> AsyncIterator[AsyncIterator[Event]]:
        """Send events on a connection of its own while the answers are read."""
        async with Client(self._uri) as client:
            sending = asyncio.create_task(self._send(client, events))
            try:
                yield self._answers(client)
            finally:
                sending.cancel()
                await asyncio.gather(sending, return_exceptions=True)

    @staticmethod
    async def _send(client: Client, events: list[Event | Eventable]) -> None:
        for event in events:
            await client.send(event)

    @staticmethod
    async def _answers(client: Client) -> AsyncIterator[Event]:
        while True:
            event = await client.expect()
            if Error.is_type(event.type):
                raise CheckError(Error.from_event(event).text)
            yield event
