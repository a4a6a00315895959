"""Audio on its way from the socket to the threads that listen to it."""

import asyncio
import sys
from collections.abc import Mapping
from typing import Any

from wyoming_servers.errors import RequestError
from wyoming_servers.speech.audio import AudioFormat, parse_format
from wyoming_servers.wire.limits import Limits


def audio_format(data: Mapping[str, Any], limits: Limits) -> AudioFormat:
    """Return the format an audio event declares. Raises RequestError for one out of bounds."""
    return parse_format(
        data, min_rate_hz=limits.min_rate_hz, max_rate_hz=limits.max_rate_hz, max_channels=limits.max_channels
    )


class AudioFeed:
    """PCM of one utterance. Adding never waits; taking returns all that has come since."""

    def __init__(self, fmt: AudioFormat, *, most_seconds: float | None) -> None:
        """Take at most `most_seconds` of audio in all; what comes after that is dropped and `is_cut` says so."""
        self.format = fmt
        self.is_cut = False
        self.is_closed = False
        """Whether more audio is ignored."""
        self._declared = (fmt.rate_hz, fmt.width_bytes, fmt.channels)
        self._left_bytes = sys.maxsize if most_seconds is None else int(most_seconds * fmt.rate_hz) * fmt.frame_bytes
        self._pending = bytearray()
        self._changed = asyncio.Event()
        self._taken = asyncio.Event()

    def add(self, data: Mapping[str, Any], pcm: bytes) -> None:
        """Take an `audio-chunk`. Raises RequestError for another format than the utterance's, or part of a frame."""
        if self.is_closed:
            return
        if (data.get("rate"), data.get("width"), data.get("channels")) != self._declared:
            raise RequestError("bad-audio", "The audio's format must stay the same throughout an utterance.")
        if len(pcm) % self.format.frame_bytes:
            raise RequestError(
                "bad-audio", f"An audio chunk must hold whole frames of {self.format.frame_bytes} bytes."
            )
        self.is_cut = self.is_cut or len(pcm) > self._left_bytes
        self._pending += pcm[: self._left_bytes]
        self._left_bytes = max(0, self._left_bytes - len(pcm))
        self.is_closed = self.is_cut
        self._changed.set()

    def end(self) -> None:
        """Say that no more audio comes; what has come can still be taken."""
        self.is_closed = True
        self._changed.set()

    def drop(self) -> None:
        """Forget what has come, and take no more."""
        self.end()
        self._pending.clear()

    async def take(self) -> bytes | None:
        """Wait for audio and return all there is, or None when it has ended."""
        while not self._pending:
            if self.is_closed:
                return None
            self._changed.clear()
            await self._changed.wait()
        pcm = bytes(self._pending)
        self._pending.clear()
        self._taken.set()
        return pcm

    async def wait_for_room(self, most_seconds: float) -> None:
        """Wait while more than `most_seconds` of audio have not been taken."""
        while self.format.seconds(len(self._pending)) > most_seconds and not self.is_closed:
            self._taken.clear()
            await self._taken.wait()
