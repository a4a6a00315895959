"""Which commands are in a text, asked of the recogniser off the event loop.

The household's own language is kept ready; another is loaded when somebody speaks it, and forgotten again when too
many are. A new home takes over when its recogniser is ready; until then the old one answers.
"""

import asyncio
from collections import OrderedDict

from wyoming_servers.intents.home import Home
from wyoming_servers.intents.recogniser import Command, Recogniser
from wyoming_servers.intents.responses import settle_response
from wyoming_servers.intents.sentences import find_language

MAX_OTHER_LANGUAGES = 2
"""Each costs the hub about 10 MB."""


class Router:
    """Finds the commands in what is said in one home. Use it on one event loop."""

    def __init__(self, home: Home) -> None:
        """Take the home; its recogniser is built by `prepare`, a change of home or the first request."""
        self.home = home
        self._tag = find_language(home.language)
        self._recogniser: Recogniser | None = None
        self._others: OrderedDict[str, Recogniser] = OrderedDict()
        self._building = asyncio.Lock()

    async def prepare(self) -> None:
        """Build what the first request would otherwise wait for."""
        async with self._building:
            if self._recogniser is None:
                self._recogniser = await asyncio.to_thread(Recogniser, self.home)

    async def route(
        self, text: str, *, language: str | None = None, device_id: str | None = None
    ) -> tuple[Command, ...]:
        """Return the commands in a text, none if it is not certainly made of commands.

        `language` is the household's if not given; `device_id` is the satellite that heard it, whose area "here" is.
        """
        recogniser = await self._find(language)
        if recogniser is None:
            return ()
        area = recogniser.home.area_of(device_id)
        commands = await asyncio.to_thread(recogniser.recognise, text, area=area.id if area else None)
        return tuple(settle_response(command) for command in commands)

    async def replace(self, home: Home) -> None:
        """Change to another home, once what it needs is built; requests meanwhile get the old one."""
        async with self._building:
            recogniser = await asyncio.to_thread(Recogniser, home)
            self.home, self._tag, self._recogniser = home, find_language(home.language), recogniser
            self._others.clear()

    async def _find(self, language: str | None) -> Recogniser | None:
        """Return the recogniser of a language, None if there are no sentences in it."""
        tag = find_language(language) if language else self._tag
        if tag is None:
            return None
        if found := self._ready(tag):
            return found
        if tag == self._tag:
            await self.prepare()
            return self._ready(tag)
        async with self._building:
            if (found := self._ready(tag)) is None:
                found = self._others[tag] = await asyncio.to_thread(Recogniser, self.home, tag)
                while len(self._others) > MAX_OTHER_LANGUAGES:
                    self._others.popitem(last=False)
        return found

    def _ready(self, tag: str) -> Recogniser | None:
        if tag == self._tag:
            return self._recogniser
        if tag in self._others:
            self._others.move_to_end(tag)
        return self._others.get(tag)
