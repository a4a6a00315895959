"""`hearth listen`: one turn after another with this machine's microphone and loudspeaker."""

import asyncio
import importlib
import time
from collections.abc import AsyncGenerator, Callable
from typing import Any

from wyoming_servers.ask.answer import Answer
from wyoming_servers.ask.recording import FRAME_MS
from wyoming_servers.ask.turn import Asking, AudioSink, AudioSource, Turn
from wyoming_servers.errors import RequestError, how_to_install

_RATE_HZ = 16_000
_FRAME_SAMPLES = _RATE_HZ * FRAME_MS // 1000
_QUEUE_FRAMES = 500
"""Five seconds: more is only waiting when the server has stopped taking audio."""

MakeSource = Callable[[], AudioSource]
MakeSink = Callable[[], AudioSink]


async def listen(
    asking: Asking,
    show: Callable[[Answer], None],
    make_source: MakeSource,
    make_sink: MakeSink,
) -> None:
    """Take turns until cancelled, or until a turn fails because nobody answers.

    Turns share one conversation. A turn in which nothing was said is not shown.
    """
    while True:
        answer = await Turn(asking).run(make_source(), make_sink())
        if answer.transcript == "":
            continue
        show(answer)
        if answer.transcript is None:
            return


def load_sounddevice() -> Any:
    """Return the `sounddevice` module. Raises RequestError saying how to get it."""
    try:
        return importlib.import_module("sounddevice")
    except ImportError:
        raise RequestError(
            "no-microphone",
            f"The microphone needs the package 'sounddevice'. Install it with: {how_to_install('mic')}",
        ) from None
    except OSError:
        raise RequestError(
            "no-microphone",
            "The microphone needs the PortAudio library. On Debian and Ubuntu: apt install libportaudio2",
        ) from None


class Microphone:
    """The default microphone, for one turn."""

    rate_hz = _RATE_HZ
    channels = 1

    def __init__(self, sounddevice: Any) -> None:
        """Record through the given `sounddevice` module, from `frames` on."""
        self.started_at: float | None = None
        self.speech_ended_at = None
        """Nobody can know but the server, which says it in `voice-stopped`."""
        self._sounddevice = sounddevice

    async def frames(self) -> AsyncGenerator[bytes, None]:
        """Yield what is heard until the caller stops asking."""
        loop = asyncio.get_running_loop()
        heard: asyncio.Queue[bytes] = asyncio.Queue()

        def take(frame: bytes) -> None:
            if heard.qsize() < _QUEUE_FRAMES:
                heard.put_nowait(frame)

        def on_audio(data: Any, _frames: int, _time: Any, _status: Any) -> None:
            """Hand a frame over from the audio thread."""
            loop.call_soon_threadsafe(take, bytes(data))

        try:
            stream = self._sounddevice.RawInputStream(
                samplerate=_RATE_HZ, channels=1, dtype="int16", blocksize=_FRAME_SAMPLES, callback=on_audio
            )
            stream.start()
        except self._sounddevice.PortAudioError as err:
            raise RequestError("no-microphone", f"The microphone cannot be opened: {err}.") from err
        self.started_at = time.monotonic()
        try:
            while True:
                yield await heard.get()
        finally:
            stream.close()


class Loudspeaker:
    """The default loudspeaker, for one reply."""

    def __init__(self, sounddevice: Any) -> None:
        """Play through the given `sounddevice` module."""
        self._sounddevice = sounddevice
        self._stream: Any = None

    async def start(self, rate_hz: int, channels: int) -> None:
        """Open the device. Raises RequestError if it cannot."""
        try:
            self._stream = self._sounddevice.RawOutputStream(samplerate=rate_hz, channels=channels, dtype="int16")
            self._stream.start()
        except self._sounddevice.PortAudioError as err:
            raise RequestError("no-loudspeaker", f"The loudspeaker cannot be opened: {err}.") from err

    async def write(self, pcm: bytes) -> None:
        """Play; returns when the device has room for more."""
        await asyncio.to_thread(self._stream.write, pcm)

    async def close(self) -> None:
        """Let what was written be heard, then free the device."""
        if self._stream is not None:
            await asyncio.to_thread(self._stream.stop)
            self._stream.close()
            self._stream = None
