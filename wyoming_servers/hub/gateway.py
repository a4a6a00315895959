"""The hub's Wyoming side: one port for every service.

Which service a connection wants shows in its first telling event, and may change with a later one.
`describe` and `ping` are answered here, so they never wait for an engine.
"""

import asyncio
from collections.abc import Callable
from typing import Any

from wyoming.event import Event
from wyoming.info import Describe, Info, SelectProgram
from wyoming.ping import Ping, Pong

from wyoming_servers.errors import RequestError
from wyoming_servers.hub.conversation import Conversation, Question
from wyoming_servers.hub.info import PROGRAM, merged_info
from wyoming_servers.hub.metrics import Metrics
from wyoming_servers.hub.proxy import Line
from wyoming_servers.hub.router import Router
from wyoming_servers.hub.supervisor import Supervisor
from wyoming_servers.intents.polite import known_languages
from wyoming_servers.settings import TASKS
from wyoming_servers.wire.connection import Connection

_FIRST_INFO_SECONDS = 3.0
"""How long a `describe` waits, at most and only after the start, for workers that never yet said what they are."""
_AUDIO = frozenset({"audio-start", "audio-chunk", "audio-stop"})
_TEXT = frozenset({"transcript", "recognize"})


class Gateway:
    """What all connections share."""

    def __init__(self, supervisor: Supervisor, router: Router, metrics: Metrics, language: Callable[[], str]) -> None:
        """Route to the supervisor's workers; `language` is the household's now."""
        self.supervisor = supervisor
        self.router = router
        self.metrics = metrics
        self.language = language

    def handler(self, connection: Connection) -> "GatewayHandler":
        """Serve one client."""
        return GatewayHandler(self, connection)

    def info(self) -> Info:
        """Return what the hub offers now."""
        return merged_info(self.supervisor, self.language(), known_languages())


class GatewayHandler:
    """One client of the hub."""

    def __init__(self, gateway: Gateway, connection: Connection) -> None:
        """Serve `connection`."""
        self._gateway = gateway
        self._connection = connection
        self._lines: dict[str, Line] = {}
        self._audio_task = "stt"
        self._answering = asyncio.Lock()
        self._conversation = Conversation(connection, gateway.router, gateway.metrics)

    async def handle(self, event: Event) -> None:
        """Take one event; those of unknown types are dropped, as the protocol asks for."""
        if Describe.is_type(event.type):
            await self._describe()
        elif Ping.is_type(event.type):
            await self._connection.send(Pong(text=_ping_text(event)))
        elif SelectProgram.is_type(event.type):
            self._select(event)
        elif event.type in _AUDIO:
            await self._line(self._audio_task).send(event)
        elif event.type == "transcribe":
            self._audio_task = "stt"
            await self._line("stt").send(event)
        elif event.type.startswith("synthesize"):
            await self._line("tts").send(event)
        elif event.type in _TEXT:
            self._connection.spawn(self._answer(event))

    async def end(self) -> None:
        """Do nothing: the hub serves sockets, where the end of the input is the end."""

    async def aclose(self) -> None:
        """Note what the client left unfinished."""
        for line in self._lines.values():
            line.close()

    async def _describe(self) -> None:
        """Answer at once, but for the seconds after the start in which there is nothing to say yet."""
        if self._gateway.supervisor.is_settled:
            await self._connection.send(self._gateway.info())
        else:
            self._connection.spawn(self._describe_settled())

    async def _describe_settled(self) -> None:
        await self._gateway.supervisor.wait_settled(_FIRST_INFO_SECONDS)
        await self._connection.send(self._gateway.info())

    def _select(self, event: Event) -> None:
        """Choose who gets the connection's audio: voice detection has no events of its own to ask for it."""
        name = event.data.get("name")
        names = {task: self._names(task) for task in TASKS}
        if name in names["vad"]:
            self._audio_task = "vad"
        elif name == PROGRAM or any(name in known for known in names.values()):
            self._audio_task = "stt"
        else:
            raise RequestError("unknown-program", "There is no program of this name here.")

    def _names(self, task: str) -> set[str | None]:
        worker = self._gateway.supervisor[task]
        return {task, worker.plan.engine} if worker.plan.is_set_up else set()

    def _line(self, task: str) -> Line:
        if task not in self._lines:
            worker = self._gateway.supervisor[task]
            self._lines[task] = Line(self._connection, worker, self._gateway.metrics)
        return self._lines[task]

    async def _answer(self, event: Event) -> None:
        """Answer a text: with commands, or with what the language model says, or with an apology."""
        async with self._answering:
            await self._answer_now(event)

    async def _answer_now(self, event: Event) -> None:
        question = Question(event, self._connection.limits, self._gateway.language())
        commands = await self._conversation.commands(question)
        if commands:
            await self._conversation.send_commands(commands, question)
        elif question.is_empty or not self._gateway.supervisor["llm"].plan.is_set_up:
            await self._conversation.send_sorry(question)
        else:
            data: dict[str, Any] = {"text": question.text, "language": question.language}
            if question.context is not None:
                data["context"] = question.context
            await self._line("llm").send(Event(type="transcript", data=data))


def _ping_text(event: Event) -> str | None:
    text = event.data.get("text")
    if text is None or isinstance(text, str):
        return text
    raise RequestError("bad-text", "The text must be a text.")
