"""A person in front of Home Assistant: its REST and WebSocket API, and one spoken turn of Assist."""

import asyncio
import contextlib
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from types import TracebackType
from typing import Any, Self

import aiohttp
import numpy as np

FRAME_MS = 10
RATE_HZ = 16_000
_FRAME_BYTES = 2 * RATE_HZ * FRAME_MS // 1000
_TAIL_SECONDS = 20.0
_TURN_SECONDS = 60.0
_CLIENT_ID = "http://127.0.0.1/"


@dataclass(kw_only=True)
class Turn:
    """One run of a pipeline."""

    events: list[tuple[float, str, dict[str, Any]]] = field(default_factory=list)
    """When (`time.monotonic`), type, data."""
    is_ended_by_person: bool = False
    """Whether all audio was sent, silence included, because nobody had ended the turn."""
    speech: bytes = b""
    """The reply as it was fetched."""

    def data(self, kind: str) -> dict[str, Any]:
        """Return the data of the first event of a type."""
        return next((data for _, name, data in self.events if name == kind), {})

    @property
    def error(self) -> str | None:
        """What Home Assistant said went wrong."""
        return self.data("error").get("message")

    @property
    def transcript(self) -> str:
        """What Home Assistant heard."""
        return str(self.data("stt-end")["stt_output"]["text"])

    @property
    def response(self) -> dict[str, Any]:
        """The conversation's response."""
        response: dict[str, Any] = self.data("intent-end")["intent_output"]["response"]
        return response

    @property
    def reply(self) -> str:
        """What is said in return."""
        return str(self.response["speech"]["plain"]["speech"])


class Assist:
    """A logged-in person; `async with` connects."""

    def __init__(self, url: str, token: str) -> None:
        """Prepare to talk to the instance at `url`."""
        self._url = url
        self._token = token
        self._last_id = 0

    async def __aenter__(self) -> Self:
        self._session = aiohttp.ClientSession(headers={"Authorization": f"Bearer {self._token}"})
        self._socket = await self._session.ws_connect(f"{self._url}/api/websocket", max_msg_size=0)
        await self._socket.receive_json()
        await self._socket.send_json({"type": "auth", "access_token": self._token})
        answer = await self._socket.receive_json()
        assert answer["type"] == "auth_ok", answer
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._socket.close()
        await self._session.close()

    async def get(self, path: str) -> Any:
        """Return what a REST address gives."""
        async with self._session.get(self._url + path) as response:
            assert response.status < 400, await response.text()
            return await response.json()

    async def post(self, path: str, data: Any) -> Any:
        """Send something to a REST address and return its answer."""
        async with self._session.post(self._url + path, json=data) as response:
            assert response.status < 400, await response.text()
            return await response.json()

    async def command(self, kind: str, **data: Any) -> Any:
        """Send a WebSocket command and return its result."""
        number = await self._send(kind, **data)
        while True:
            message = await self._socket.receive_json(timeout=30)
            if message.get("id") == number and message["type"] == "result":
                assert message["success"], message
                return message["result"]

    async def state(self, entity_id: str) -> str:
        """Return the state of an entity."""
        return str((await self.get(f"/api/states/{entity_id}"))["state"])

    async def add_wyoming(self, port: int) -> dict[str, str]:
        """Add a Wyoming server on 127.0.0.1 as a person does; return the entity of each domain."""
        step = await self.post("/api/config/config_entries/flow", {"handler": "wyoming"})
        path = f"/api/config/config_entries/flow/{step['flow_id']}"
        step = await self.post(path, {"host": "127.0.0.1", "port": port})
        assert step["type"] == "create_entry", step
        deadline = time.monotonic() + 20
        entities: dict[str, str] = {}
        while len(entities) < 3 and time.monotonic() < deadline:
            await asyncio.sleep(0.2)
            registry = await self.command("config/entity_registry/list")
            found = [entry["entity_id"] for entry in registry if entry["platform"] == "wyoming"]
            entities = {entity.partition(".")[0]: entity for entity in found}
        return entities

    async def make_pipeline(self, entities: dict[str, str]) -> str:
        """Make an Assist pipeline of these entities; return its id."""
        made = await self.command(
            "assist_pipeline/pipeline/create",
            name="Hearth",
            language="en",
            conversation_engine=entities["conversation"],
            conversation_language="en",
            stt_engine=entities["stt"],
            stt_language="en",
            tts_engine=entities["tts"],
            tts_language="en",
            tts_voice=None,
            wake_word_entity=None,
            wake_word_id=None,
            prefer_local_intents=False,
        )
        return str(made["id"])

    async def speak(self, pipeline: str, pcm: bytes) -> Turn:
        """Stream 16 kHz mono PCM into a pipeline at the pace of speech, until it has heard enough."""
        return await self._run(pipeline, pcm, start_stage="stt", end_stage="tts", input={"sample_rate": RATE_HZ})

    async def write(self, pipeline: str, text: str) -> Turn:
        """Give a pipeline a written sentence."""
        return await self._run(pipeline, None, start_stage="intent", end_stage="tts", input={"text": text})

    async def _run(self, pipeline: str, pcm: bytes | None, **request: Any) -> Turn:
        turn = Turn()
        number = await self._send("assist_pipeline/run", pipeline=pipeline, **request)
        upload: asyncio.Task[None] | None = None
        try:
            async with asyncio.timeout(_TURN_SECONDS):
                while not any(name == "run-end" for _, name, _ in turn.events):
                    message = await self._socket.receive_json()
                    if message.get("id") != number or message["type"] == "result":
                        assert message.get("success", True), message
                        continue
                    kind, data = message["event"]["type"], message["event"].get("data") or {}
                    turn.events.append((time.monotonic(), kind, data))
                    if kind == "run-start" and pcm is not None:
                        handler = data["runner_data"]["stt_binary_handler_id"]
                        upload = asyncio.create_task(self._upload(handler, pcm, turn))
                    elif kind == "stt-end" and upload is not None:
                        upload.cancel()
        finally:
            if upload is not None:
                upload.cancel()
                with contextlib.suppress(asyncio.CancelledError):
                    await upload
        if url := (turn.data("tts-end").get("tts_output") or {}).get("url"):
            async with self._session.get(self._url + url) as response:
                turn.speech = await response.read()
        return turn

    async def _upload(self, handler: int, pcm: bytes, turn: Turn) -> None:
        started = time.monotonic()
        for number, frame in enumerate(_frames(pcm), start=1):
            await asyncio.sleep(max(0.0, started + number * FRAME_MS / 1000 - time.monotonic()))
            await self._socket.send_bytes(bytes([handler]) + frame)
        turn.is_ended_by_person = True
        await self._socket.send_bytes(bytes([handler]))

    async def _send(self, kind: str, **data: Any) -> int:
        self._last_id += 1
        await self._socket.send_json({"id": self._last_id, "type": kind, **data})
        return self._last_id


async def onboard(url: str) -> str:
    """Make the first user of a fresh instance; return an access token."""
    # No further steps: they would add integrations that look for the internet.
    user = {"client_id": _CLIENT_ID, "language": "en", "name": "T", "username": "t", "password": "only-on-loopback"}
    async with aiohttp.ClientSession(raise_for_status=True) as session:
        async with session.post(f"{url}/api/onboarding/users", json=user) as response:
            code = (await response.json())["auth_code"]
        form = {"grant_type": "authorization_code", "code": code, "client_id": _CLIENT_ID}
        async with session.post(f"{url}/auth/token", data=form) as response:
            return str((await response.json())["access_token"])


def loudness(audio: bytes, ffmpeg: str) -> float:
    """Return the level (root mean square, 1 is full scale) of audio in any format ffmpeg reads."""
    command = [ffmpeg, "-v", "error", "-i", "pipe:0", "-f", "s16le", "-ac", "1", "pipe:1"]
    pcm = subprocess.run(command, input=audio, capture_output=True, check=True).stdout
    samples = np.frombuffer(pcm, dtype="<i2").astype(np.float64) / 32768
    return float(np.sqrt(np.mean(np.square(samples)))) if samples.size else 0.0


def _frames(pcm: bytes) -> Iterator[bytes]:
    padded = pcm + bytes(int(2 * RATE_HZ * _TAIL_SECONDS))
    for start in range(0, len(padded), _FRAME_BYTES):
        yield padded[start : start + _FRAME_BYTES].ljust(_FRAME_BYTES, b"\0")
