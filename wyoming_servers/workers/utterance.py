"""What a client wants said: its text on the way from the wire to the engine."""

import asyncio

from wyoming_servers.errors import RequestError
from wyoming_servers.speech.sentences import SentenceSplitter
from wyoming_servers.speech.text import clean_text, has_words, plain_text


class Utterance:
    """One request: text goes in as it comes, pieces to say come out."""

    def __init__(self, *, voice: str, speaker: str | None, limit: int) -> None:
        """Take at most `limit` characters, to be said by a voice that exists."""
        self.voice = voice
        self.speaker = speaker
        self.is_streamed = False
        self._characters = 0
        self._limit = limit
        self._splitter = SentenceSplitter()
        self._pieces: asyncio.Queue[str | None] = asyncio.Queue()

    @property
    def has_text(self) -> bool:
        """Whether any text came yet."""
        return self._characters > 0

    def add(self, text: object) -> None:
        """Take text. Raises RequestError if it is none, or the request's text grows too long."""
        if isinstance(text, str):
            self._characters += len(text)
            if self._characters > self._limit:
                raise RequestError("bad-text", f"The text is over the limit of {self._limit} characters.")
        self._put(self._splitter.add(clean_text(text, limit=self._limit)))

    def finish(self) -> None:
        """Say that no more text comes."""
        self._put(self._splitter.finish())
        self._pieces.put_nowait(None)

    async def next_piece(self, *, idle_seconds: float) -> str | None:
        """Return the next piece with something to say in it, or None at the end.

        Raises RequestError if none comes for so long: a stream left open must not hold its connection for ever.
        """
        try:
            async with asyncio.timeout(idle_seconds):
                return await self._pieces.get()
        except TimeoutError:
            raise RequestError("idle", f"No more text came for {idle_seconds:g} seconds.") from None

    def _put(self, pieces: list[str]) -> None:
        for piece in pieces:
            if has_words(speakable := plain_text(piece)):
                self._pieces.put_nowait(speakable)
