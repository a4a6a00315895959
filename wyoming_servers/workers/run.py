"""Loads one engine and serves it until told to stop."""

import asyncio
import logging
from collections.abc import Callable
from typing import Any, Protocol

from wyoming_servers.engines.base import EngineOptions
from wyoming_servers.engines.table import Task, choose_engine, find_row, load_engine
from wyoming_servers.engines.vad.steady import load_vad
from wyoming_servers.errors import SettingsError
from wyoming_servers.models.folders import resolve_model
from wyoming_servers.settings import Settings, WorkerSettings, default_threads
from wyoming_servers.wire.connection import Connection, Handler, HandlerFactory
from wyoming_servers.wire.server import Server, parse_uri
from wyoming_servers.workers.llm import LlmService
from wyoming_servers.workers.stt import SttService
from wyoming_servers.workers.tts import TtsService
from wyoming_servers.workers.vad import VadService

_LOGGER = logging.getLogger(__name__)


class Service(Protocol):
    """A loaded engine behind Wyoming."""

    def prime(self) -> None:
        """Do once what the first request would otherwise pay for."""

    def handler(self, connection: Connection) -> Handler:
        """Serve one client."""


def engine_options(settings: Settings, worker: WorkerSettings) -> EngineOptions:
    """Turn settings into what an engine may know. Raises ModelError for a model outside the model folders."""
    return EngineOptions(
        model=resolve_model(worker.model, settings.model_folders) if worker.model else None,
        language=settings.language,
        threads=worker.threads or default_threads(),
        data_dir=settings.data_dir,
        url=worker.url,
        api_key=settings.llm_api_key,
        model_name=worker.model_name,
    )


async def run_worker(task_name: str, uri: str, settings: Settings) -> None:
    """Load the engine of a task and serve it at `uri` until SIGTERM, SIGINT or the end of standard input.

    Raises SettingsError, ModelError or EngineError before it listens: a worker that listens is ready.
    """
    parse_uri(uri)  # before a model is loaded for nothing
    task = Task(task_name)
    worker = settings.worker(task)
    name = choose_engine(task, engine=worker.engine, has_model=worker.model is not None, has_url=worker.url is not None)
    if name is None:
        raise SettingsError(f"No {task} engine is set up. Choose one with --engine; `hearth doctor` lists them.")
    options = engine_options(settings, worker)
    if task is Task.VAD and worker.engine == "auto":
        engine: Any = await asyncio.to_thread(load_vad, options)
    else:
        engine = await asyncio.to_thread(load_engine, task, name, options)
    try:
        make_handler = await asyncio.to_thread(_make_handler, task, name, engine, options, worker)
        await Server(make_handler).run(
            uri, on_ready=lambda where: _LOGGER.info("%s worker (%s) listens on %s", task, name, where)
        )
    finally:
        await asyncio.to_thread(engine.close)


def _make_handler(task: Task, name: str, engine: Any, options: EngineOptions, worker: WorkerSettings) -> HandlerFactory:
    """Put the task's Wyoming handler in front of its engine, warmed up."""
    row = find_row(task, name)
    services: dict[Task, Callable[[], Service]] = {
        Task.VAD: lambda: VadService(engine, row, name),
        Task.STT: lambda: SttService(engine, row, name, options),
        Task.TTS: lambda: TtsService(engine, row, name, default_voice=worker.voice),
        Task.LLM: lambda: LlmService(engine, row, name, options),
    }
    service = services[task]()
    service.prime()
    return service.handler
