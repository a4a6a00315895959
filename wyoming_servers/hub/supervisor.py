"""The workers the settings ask for, started together and ended together."""

import asyncio
import contextlib
import shutil
import tempfile
from collections.abc import Iterator
from pathlib import Path

from wyoming_servers.engines.table import Task, choose_engine, find_row
from wyoming_servers.errors import EngineMissingError, ModelError
from wyoming_servers.hub.worker import Pace, Plan, Worker
from wyoming_servers.models.folders import resolve_model
from wyoming_servers.settings import TASKS, Settings


def plan_worker(task_name: str, settings: Settings, folder: Path) -> Plan:
    """Decide what a task's worker is to be; a child listens in `folder`. Raises SettingsError for an unknown engine."""
    worker, task = settings.worker(task_name), Task(task_name)
    if worker.uri:
        return Plan(task=task_name, uri=worker.uri, is_external=True)
    engine = choose_engine(
        task, engine=worker.engine, has_model=worker.model is not None, has_url=worker.url is not None
    )
    if engine is None:
        return Plan(task=task_name, is_set_up=False)
    row, obstacle = find_row(task, engine), None
    if not row.is_installed:
        obstacle = str(EngineMissingError(engine, row.extra or "all"))
    elif not row.speaks(settings.language):
        obstacle = (
            f"{row.title} does not understand the language '{settings.language}'. "
            f"Set up another {task_name} engine; `hearth doctor` lists them."
        )
    elif worker.model:
        try:
            resolve_model(worker.model, settings.model_folders)
        except ModelError as err:
            obstacle = str(err)
    uri = f"unix://{folder / f'{task_name}.sock'}"
    return Plan(task=task_name, engine=engine, row=row, model=worker.model, uri=uri, obstacle=obstacle)


class Supervisor:
    """All workers, by task."""

    def __init__(self, settings: Settings, pace: Pace | None = None) -> None:
        """Plan the workers; `start` starts them. Raises SettingsError for an unknown engine."""
        # Only we may look into it; short, because a socket's path may have at most 108 bytes.
        self._folder = Path(tempfile.mkdtemp(prefix="hearth-"))
        try:
            self.workers = {
                task: Worker(plan_worker(task, settings, self._folder), settings, pace or Pace()) for task in TASKS
            }
        except BaseException:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise
        self._tasks: list[asyncio.Task[None]] = []

    def __getitem__(self, task: str) -> Worker:
        return self.workers[task]

    def __iter__(self) -> Iterator[Worker]:
        return iter(self.workers.values())

    @property
    def is_healthy(self) -> bool:
        """Whether every worker that is set up can be used."""
        return all(worker.is_serving for worker in self if worker.plan.is_set_up)

    def start(self) -> None:
        """Start every worker; they become ready on their own."""
        self._tasks = [asyncio.create_task(worker.run()) for worker in self]

    @property
    def is_settled(self) -> bool:
        """Whether the first start of every worker has worked or failed."""
        return all(worker.settled.is_set() for worker in self)

    async def wait_settled(self, seconds: float) -> None:
        """Wait until every worker is ready, or failed, or `seconds` have passed."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await asyncio.gather(*(worker.settled.wait() for worker in self))

    async def stop(self) -> None:
        """End every worker, and wait until none is left."""
        await asyncio.gather(*(worker.end() for worker in self))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await asyncio.gather(*(worker.end() for worker in self))
        shutil.rmtree(self._folder, ignore_errors=True)
