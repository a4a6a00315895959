"""What every worker answers, whatever its task."""

from collections.abc import Awaitable, Callable, Mapping

from wyoming.event import Event
from wyoming.info import Artifact, Attribution, Describe, Info
from wyoming.ping import Ping, Pong

from wyoming_servers import __version__
from wyoming_servers.engines.table import EngineRow
from wyoming_servers.errors import RequestError
from wyoming_servers.wire.connection import Connection

Route = Callable[[Event], Awaitable[None]]


class TaskHandler:
    """One connection to a worker: answers `describe` and `ping`, gives the task's events to its routes.

    Events of other types are dropped, as the protocol asks for.
    """

    def __init__(self, connection: Connection, make_info: Callable[[], Info]) -> None:
        """Serve `connection`; `make_info` is called per `describe`."""
        self.connection = connection
        self._make_info = make_info

    @property
    def routes(self) -> Mapping[str, Route]:
        """Event type → what to do with it."""
        return {}

    async def handle(self, event: Event) -> None:
        """Take one event."""
        if Describe.is_type(event.type):
            await self.connection.send(self._make_info())
        elif Ping.is_type(event.type):
            await self.connection.send(Pong(text=ping_text(event)))
        elif route := self.routes.get(event.type):
            await route(event)

    async def end(self) -> None:
        """Answer what has come; a task whose requests may lie open ends them here."""

    async def aclose(self) -> None:
        """Release what belongs to the connection."""


def ping_text(event: Event) -> str | None:
    """Return what a `ping` wants back. Raises RequestError for anything but text."""
    text = event.data.get("text")
    if text is None or isinstance(text, str):
        return text
    raise RequestError("bad-text", "The text must be a text.")


def artifact(row: EngineRow, name: str, description: str) -> Artifact:
    """Describe an engine or a model the way Wyoming's `info` wants it."""
    return Artifact(
        name=name,
        description=description,
        version=__version__,
        installed=True,
        attribution=Attribution(name=row.title, url=row.url or "https://www.home-assistant.io/voice_control/"),
    )
