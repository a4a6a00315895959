"""The home on disk, and what has to happen when it changes.

`data_dir/home.json` is the home that counts: what was pushed last, or else the one of the settings. Without either
there is no such file, and a built-in home counts. The starter's language model is made of the home's names, so a
change starts the builder, in a process of its own with low priority; while one runs, only the latest change waits.
"""

import asyncio
import contextlib
import json
import logging
import os
import signal
import time
from enum import StrEnum
from pathlib import Path
from typing import Any

from wyoming_servers.errors import HearthError, RequestError, SettingsError
from wyoming_servers.hub.child import hearth_command, worker_environ
from wyoming_servers.hub.router import Router
from wyoming_servers.intents.home import Home, builtin_home
from wyoming_servers.models.files import write_atomically
from wyoming_servers.settings import Settings

_LOGGER = logging.getLogger(__name__)
_NICENESS = 10
_FILE = "home.json"
_MARK = "home.of-settings"


class Source(StrEnum):
    """Where the home comes from."""

    PUSHED = "pushed"
    SETTINGS = "settings"
    BUILTIN = "built-in"


def load_home(settings: Settings) -> tuple[Home, Source]:
    """Return the home that counts now. Raises SettingsError if the one in the settings is wrong."""
    kept = _kept_home(settings.data_dir)
    if kept is not None and kept.version != _read(settings.data_dir / _MARK):
        return kept, Source.PUSHED
    if settings.home is None:
        return builtin_home(settings.language), Source.BUILTIN
    try:
        return Home.from_json({"language": settings.language, **settings.home}), Source.SETTINGS
    except RequestError as err:
        raise SettingsError(f"[home]: {err}") from err


def _kept_home(folder: Path) -> Home | None:
    text = _read(folder / _FILE)
    if text is None:
        return None
    try:
        return Home.from_json(json.loads(text))
    except (ValueError, RecursionError, RequestError) as err:
        _LOGGER.warning("%s cannot be used and is not: %s", folder / _FILE, err)
        return None


def _read(path: Path) -> str | None:
    try:
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError):
        return None


def keep_home(folder: Path, home: Home, source: Source) -> None:
    """Bring the file other processes read up to date; a mark tells a home of the settings from one that was pushed."""
    if source is Source.BUILTIN:
        # Not deleted: it may be somebody's home in a form only a newer version knows.
        with contextlib.suppress(FileNotFoundError):
            (folder / _FILE).replace(folder / f"{_FILE}.unused")
    else:
        write_atomically(folder / _FILE, json.dumps(home.to_json(), ensure_ascii=False, indent=1))
    if source is Source.SETTINGS:
        write_atomically(folder / _MARK, home.version)
    else:
        (folder / _MARK).unlink(missing_ok=True)


class Homes:
    """The home in use."""

    def __init__(self, settings: Settings, router: Router, home: Home, source: Source, *, trains: bool) -> None:
        """Start with `home`; `trains` is whether the starter's model is ours to build."""
        self.home = home
        self.source = source
        self.training: dict[str, Any] = {"state": "idle"}
        """What the builder of the starter's language model does, for the status."""
        self._settings = settings
        self._router = router
        self._trains = trains
        self._lock = asyncio.Lock()
        self._is_stale = False
        self._trainer: asyncio.Task[None] | None = None
        self._process: asyncio.subprocess.Process | None = None

    async def start(self) -> None:
        """Have the starter's language model built if the one there is not of this home."""
        if self.source is not Source.PUSHED:
            await self._keep(self.home, self.source)
        current = self._settings.data_dir / "starter" / "current"
        built = await asyncio.to_thread(_read, current)
        if built is not None and self.home.version not in built:
            self.train()

    async def put(self, data: object) -> Home:
        """Take a pushed home. Raises RequestError if it is none, HearthError if it cannot be kept."""
        home = await asyncio.to_thread(Home.from_json, data)
        async with self._lock:
            is_new = home.version != self.home.version
            await self._keep(home, Source.PUSHED)
            self.home, self.source = home, Source.PUSHED
            if is_new:
                await self._router.replace(home)
                self.train()
        return home

    async def _keep(self, home: Home, source: Source) -> None:
        try:
            await asyncio.to_thread(keep_home, self._settings.data_dir, home, source)
        except OSError as err:
            raise HearthError(f"The home cannot be written to {self._settings.data_dir}: {err.strerror}.") from err

    def train(self) -> None:
        """Have the starter's language model built for the home as it is now, if it is in use."""
        if not self._trains:
            return
        self._is_stale = True
        self.training = {"state": "running", "home": self.home.version, "since": time.time()}
        if self._trainer is None or self._trainer.done():
            self._trainer = asyncio.create_task(self._train())

    async def wait_trained(self) -> None:
        """Wait until no builder runs."""
        if self._trainer is not None:
            await asyncio.wait([self._trainer])

    async def stop(self) -> None:
        """End the builder if it runs."""
        if self._trainer is None:
            return
        self._trainer.cancel()
        if self._process and self._process.returncode is None:
            with contextlib.suppress(ProcessLookupError):
                self._process.kill()
            await self._process.wait()
        await asyncio.gather(self._trainer, return_exceptions=True)

    async def _train(self) -> None:
        while self._is_stale:
            self._is_stale = False
            version, begun = self.home.version, time.monotonic()
            self.training = {"state": "running", "home": version, "since": time.time()}
            status, last = await self._run_builder()
            seconds = round(time.monotonic() - begun, 2)
            if status == 0:
                self.training = {"state": "done", "home": version, "seconds": seconds}
                _LOGGER.info("The starter's language model for the new home is ready after %.1f s", seconds)
            else:
                self.training = {"state": "failed", "home": version, "seconds": seconds, "error": last}
                _LOGGER.warning("The starter's language model could not be built: %s", last)

    async def _run_builder(self) -> tuple[int, str]:
        command = hearth_command("train", "--data-dir", str(self._settings.data_dir))
        self._process = process = await asyncio.create_subprocess_exec(
            *command,
            stdin=asyncio.subprocess.DEVNULL,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
            env=worker_environ("stt", self._settings, os.environ),
            start_new_session=True,
        )
        with contextlib.suppress(OSError):
            os.setpriority(os.PRIO_PROCESS, process.pid, _NICENESS)
        _, stderr = await process.communicate()
        status = process.returncode or 0
        lines = stderr.decode(errors="replace").strip().splitlines() or [_ending(status)]
        return status, lines[-1].removeprefix("hearth: ")[:300]


def _ending(status: int) -> str:
    return f"ended by {signal.Signals(-status).name}" if status < 0 else f"exit code {status}"
