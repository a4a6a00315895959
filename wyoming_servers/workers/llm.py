"""The llm worker: answers a `transcript` with what a language model says, as it says it."""

import asyncio
import logging
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any

from wyoming.event import Event
from wyoming.handle import Handled, HandledChunk, HandledStart, HandledStop, NotHandled
from wyoming.info import HandleModel, HandleProgram, Info

from wyoming_servers import __version__
from wyoming_servers.engines.base import EngineOptions, LlmEngine, LlmRequest, Message
from wyoming_servers.engines.table import EngineRow
from wyoming_servers.errors import EngineError, RequestError
from wyoming_servers.intents.polite import known_languages, sorry
from wyoming_servers.speech.text import clean_text, has_words, language_tag
from wyoming_servers.speech.thinking import ThinkingFilter
from wyoming_servers.wire.connection import Connection
from wyoming_servers.workers.memory import Memory
from wyoming_servers.workers.service import Route, TaskHandler, artifact
from wyoming_servers.workers.threads import EngineThreads

_LOGGER = logging.getLogger(__name__)
_MOST_WAITING = 8
_MOST_TOKENS = 256
_PROMPT = (
    "You are the voice assistant of a home. Your answer is read aloud: one or two short, plain sentences, "
    "no lists, no markup, no emoji, numbers and units the way they are spoken. "
    "If you do not know, say so. You cannot see or switch anything yourself. "
    "Answer in the language with the tag {language}."
)


@dataclass(frozen=True, slots=True, kw_only=True)
class _Question:
    text: str
    language: str
    context: dict[str, Any] | None
    conversation_id: str | None


class LlmService:
    """One language model behind Wyoming."""

    def __init__(self, engine: LlmEngine, row: EngineRow, name: str, options: EngineOptions) -> None:
        """Serve `engine`, known as `name`."""
        self.memory = Memory()
        self._engine = engine
        self._language = options.language
        self._is_remote = options.url is not None
        self._threads = EngineThreads(engine.concurrency, "llm")
        # One reply at a time per context: steps of two replies must not alternate.
        self._slots = asyncio.Semaphore(engine.concurrency)
        self._waiting = 0
        self._info = _make_info(row, name, options)

    def prime(self) -> None:
        """Have the model read its instructions, which every request begins with; a server far away is left alone."""
        if self._is_remote:
            return
        chat = [self._system(self._language), Message(role="user", content="Hello")]
        for _ in self._engine.reply(LlmRequest(messages=chat, max_tokens=1)):
            pass

    def handler(self, connection: Connection) -> "LlmHandler":
        """Serve one client."""
        return LlmHandler(connection, self)

    def info(self) -> Info:
        """Describe the model."""
        return self._info

    def question(self, event: Event, limit: int) -> _Question:
        """Check a `transcript`. Raises RequestError."""
        data = event.data or {}
        text = clean_text(data.get("text"), limit=limit).strip()
        context = data.get("context")
        if context is not None and not isinstance(context, dict):
            raise RequestError("bad-event", "The event's context must be a JSON object.")
        conversation_id = (context or {}).get("conversation_id")
        if conversation_id is not None and not (isinstance(conversation_id, str) and len(conversation_id) <= 256):
            raise RequestError("bad-event", "The context's conversation_id must be a text of at most 256 characters.")
        return _Question(
            text=text,
            language=language_tag(data.get("language")) or self._language,
            context=context,
            conversation_id=conversation_id,
        )

    async def answer(self, connection: Connection, question: _Question) -> None:
        """Send the model's answer. Raises EngineError if it fails, RequestError if it is too busy."""
        if not has_words(question.text):
            await self._send_sorry(connection, question)
            return
        async with self._slot():
            chat = (
                self._system(question.language),
                *self.memory.recall(question.conversation_id),
                Message(role="user", content=question.text),
            )
            answer = await self._say(connection, question, LlmRequest(messages=chat, max_tokens=_MOST_TOKENS))
        if answer:
            self.memory.remember(question.conversation_id, question.text, answer)
            await connection.send(Handled(text=answer, context=question.context))
            await connection.send(HandledStop())
        else:
            await self._send_sorry(connection, question)

    @staticmethod
    async def _send_sorry(connection: Connection, question: _Question) -> None:
        text = await asyncio.to_thread(sorry, question.language)
        await connection.send(NotHandled(text=text, context=question.context))

    async def _say(self, connection: Connection, question: _Question, request: LlmRequest) -> str:
        """Send the answer as it comes and return all of it, empty if nothing was to be said."""
        answer = ""

        async def send(text: str) -> None:
            nonlocal answer
            if not answer and not (text := text.lstrip()):
                return
            if not answer:
                await connection.send(HandledStart(context=question.context))
            answer += text
            await connection.send(HandledChunk(text=text))

        thinking = ThinkingFilter()
        # Rendering the chat is work as well, so the generator is made in the engine's thread.
        pieces = await self._threads.run(lambda: self._engine.reply(request))
        async with self._threads.iterate(pieces) as steps:
            async for piece in steps:
                if text := thinking.add(piece):
                    await send(text)
        if text := thinking.finish():
            await send(text)
        return answer.strip()

    @asynccontextmanager
    async def _slot(self) -> AsyncIterator[None]:
        if self._slots.locked() and self._waiting >= _MOST_WAITING:
            raise RequestError("busy", "The language model has too many questions waiting; ask again in a moment.")
        self._waiting += 1
        try:
            await self._slots.acquire()
        finally:
            self._waiting -= 1
        try:
            yield
        finally:
            self._slots.release()

    @staticmethod
    def _system(language: str) -> Message:
        return Message(role="system", content=_PROMPT.format(language=language))


class LlmHandler(TaskHandler):
    """One client of the llm worker; its questions are answered in order."""

    def __init__(self, connection: Connection, service: LlmService) -> None:
        """Serve `connection` from `service`."""
        super().__init__(connection, service.info)
        self._service = service
        self._in_turn = asyncio.Lock()

    @property
    def routes(self) -> Mapping[str, Route]:
        """What is done with a `transcript`."""
        return {"transcript": self._on_transcript}

    async def _on_transcript(self, event: Event) -> None:
        question = self._service.question(event, self.connection.limits.text_characters)
        self.connection.spawn(self._answer(question))

    async def _answer(self, question: _Question) -> None:
        async with self._in_turn:
            try:
                await self._service.answer(self.connection, question)
            except EngineError as err:
                _LOGGER.warning("The language model failed: %s", err)
                raise


def _make_info(row: EngineRow, name: str, options: EngineOptions) -> Info:
    described = artifact(row, name, row.title)
    model_name = options.model_name or (options.model.name if options.model else name)
    model = HandleModel(
        name=model_name,
        description=model_name,
        attribution=described.attribution,
        installed=True,
        version=__version__,
        languages=sorted({options.language, *known_languages()}),
    )
    program = HandleProgram(
        name=described.name,
        description=described.description,
        attribution=described.attribution,
        installed=True,
        version=__version__,
        models=[model],
        supports_handled_streaming=True,
        supports_home_control=False,
    )
    return Info(handle=[program])
