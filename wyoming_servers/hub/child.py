"""How a worker process is started: its command line and its environment."""

import os
import sys
from collections.abc import Mapping
from dataclasses import fields

from wyoming_servers.settings import Settings, WorkerSettings, default_threads

# Thread pools that spin after their work take the cores other workers need; a second malloc arena per thread
# costs tens of megabytes and gains nothing here.
_CALM = {
    "OMP_WAIT_POLICY": "passive",
    "KMP_BLOCKTIME": "0",
    "GOMP_SPINCOUNT": "0",
    "OPENBLAS_NUM_THREADS": "1",
    "TOKENIZERS_PARALLELISM": "false",
    "MALLOC_ARENA_MAX": "2",
    "PYTHONUNBUFFERED": "1",
}


def hearth_command(*arguments: str) -> list[str]:
    """Return the command line that runs `hearth ARGUMENTS` in this installation."""
    return [sys.executable, "-m", "wyoming_servers.cli", *arguments]


def worker_command(task: str, uri: str, engine: str, log_level: str) -> list[str]:
    """Return the command line of a task's worker, which ends when its standard input does."""
    return hearth_command(
        "--log-level", log_level, "serve", task, "--uri", uri, "--engine", engine, "--ends-with-parent"
    )


def worker_environ(task: str, settings: Settings, environ: Mapping[str, str]) -> dict[str, str]:
    """Return the environment that makes a child read the same settings as we did."""
    worker = settings.worker(task)
    threads = str(worker.threads or default_threads())
    child = {**environ, **_CALM, "OMP_NUM_THREADS": threads}
    for name in [name for name in child if name.startswith("HEARTH_") and not name.startswith("HEARTH_SCRIPT_")]:
        if name != "HEARTH_CONFIG":
            del child[name]
    child["HEARTH_LANGUAGE"] = settings.language
    child["HEARTH_DATA_DIR"] = str(settings.data_dir)
    if settings.model_dirs:
        child["HEARTH_MODEL_DIRS"] = os.pathsep.join(str(folder) for folder in settings.model_dirs)
    if task == "llm" and settings.llm_api_key:
        child["HEARTH_LLM_API_KEY"] = settings.llm_api_key
    for item in fields(WorkerSettings):
        if item.name not in {"uri", "engine"} and (value := getattr(worker, item.name)):
            child[f"HEARTH_{task.upper()}_{item.name.upper()}"] = str(value)
    return child


def rss_bytes(pid: int | None) -> int | None:
    """Return the memory a process keeps resident, or None where the system does not say."""
    if pid is None:
        return None
    try:
        with open(f"/proc/{pid}/statm", encoding="ascii") as statm:  # noqa: PTH123  # read every few seconds
            return int(statm.read().split()[1]) * os.sysconf("SC_PAGE_SIZE")
    except (OSError, IndexError, ValueError):
        return None
