"""What the hub answers to a text: commands it recognises itself, the rest it gives to the language model."""

import asyncio
import json
import time
from collections.abc import Sequence
from typing import Any

from wyoming.event import Event
from wyoming.intent import Entity, Intent, IntentsStart, IntentsStop, NotRecognized

from wyoming_servers.errors import RequestError
from wyoming_servers.hub.metrics import Metrics
from wyoming_servers.hub.router import Router
from wyoming_servers.intents.polite import sorry
from wyoming_servers.intents.recogniser import Command
from wyoming_servers.speech.text import clean_text, has_words, language_tag
from wyoming_servers.wire.connection import Connection
from wyoming_servers.wire.limits import Limits

_CONTEXT_CHARACTERS = 16 * 1024


class Question:
    """One text somebody said or wrote, checked."""

    def __init__(self, event: Event, limits: Limits, language: str) -> None:
        """Check a `transcript` or `recognize` event. Raises RequestError."""
        data = event.data
        self.text = clean_text(data.get("text"), limit=limits.text_characters).strip()
        self.language = language_tag(data.get("language")) or language
        context = data.get("context")
        if context is not None and not isinstance(context, dict):
            raise RequestError("bad-event", "The event's context must be a JSON object.")
        if context is not None and len(json.dumps(context)) > _CONTEXT_CHARACTERS:
            raise RequestError("too-large", f"The event's context is over the limit of {_CONTEXT_CHARACTERS} bytes.")
        self.context: dict[str, Any] | None = context
        device = (context or {}).get("device_id")
        self.device_id = device if isinstance(device, str) else None

    @property
    def is_empty(self) -> bool:
        """Whether there is nothing in it to understand."""
        return not has_words(self.text)


class Conversation:
    """The router's side of one connection."""

    def __init__(self, connection: Connection, router: Router, metrics: Metrics) -> None:
        """Answer on `connection`."""
        self._connection = connection
        self._router = router
        self._metrics = metrics

    async def commands(self, question: Question) -> Sequence[Command]:
        """Return the commands in a question; none if it is not made of commands."""
        begun = time.monotonic()
        if question.is_empty:
            return ()
        found = await self._router.route(question.text, language=question.language, device_id=question.device_id)
        self._metrics.observe("route", time.monotonic() - begun)
        return found

    async def send_commands(self, commands: Sequence[Command], question: Question) -> None:
        """Send commands as `intent` events, several of them between `intents-start` and `intents-stop`."""
        if len(commands) > 1:
            await self._connection.send(IntentsStart(context=question.context))
        for command in commands:
            entities = [Entity(name=name, value=value) for name, value in command.slots.items()]
            await self._connection.send(
                Intent(name=command.intent, entities=entities, text=command.response, context=question.context)
            )
        if len(commands) > 1:
            await self._connection.send(IntentsStop(context=question.context))
        self._metrics.count("router", "ok")

    async def send_sorry(self, question: Question) -> None:
        """Say that nothing here understands the question."""
        text = await asyncio.to_thread(sorry, question.language)
        await self._connection.send(NotRecognized(text=text, context=question.context))
        self._metrics.count("router", "not-recognized")
