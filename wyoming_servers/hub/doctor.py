"""`hearth doctor`: what runs, what is missing, and how to get it. Asks a hub that runs, and needs none."""

import asyncio
import platform
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import aiohttp

from wyoming_servers import __version__
from wyoming_servers.engines.table import TABLE, Task
from wyoming_servers.errors import HearthError, how_to_install
from wyoming_servers.hub.guard import is_loopback
from wyoming_servers.hub.supervisor import plan_worker
from wyoming_servers.hub.table import render, status_rows
from wyoming_servers.hub.worker import Plan
from wyoming_servers.intents.sentences import find_language
from wyoming_servers.settings import TASKS, Settings
from wyoming_servers.wire.server import parse_uri

_ASK_SECONDS = 3.0


async def examine(settings: Settings) -> dict[str, Any]:
    """Return everything found, as JSON; `is_fine` says whether Hearth works, or would if it were started."""
    status = await _running_status(settings)
    tasks = {task: _task(task, settings) for task in TASKS}
    problems = [one["problem"] for one in tasks.values() if one["problem"]]
    if status is None:
        problems += await _port_problems(settings)
    else:
        problems = _running_problems(status)
    if find_language(settings.language) is None:
        problems.append(f"There are no command sentences for the language '{settings.language}'.")
    return {
        "version": __version__,
        "python": platform.python_version(),
        "executable": sys.executable,
        "data_dir": str(settings.data_dir),
        "language": settings.language,
        "running": status,
        "tasks": tasks,
        "engines": _engines(),
        "problems": problems,
        "is_fine": not problems,
    }


def render_findings(findings: Mapping[str, Any]) -> str:
    """Return what was found for a person."""
    parts = [f"Hearth {findings['version']} on Python {findings['python']}, data in {findings['data_dir']}"]
    if findings["running"]:
        parts += [f"A hub is running at {findings['running']['uri']}.", render(status_rows(findings["running"]))]
    else:
        rows = [
            (task, one["engine"] or "-", one["model"] or "-", one["state"]) for task, one in findings["tasks"].items()
        ]
        parts += ["No hub is running. `hearth run` would start:", render(rows, ("task", "engine", "model", "state"))]
    missing = [one for one in findings["engines"] if not one["is_installed"]]
    if missing:
        rows = [(one["task"], one["engine"], one["title"], one["install"]) for one in missing]
        parts += ["Engines that could be added:", render(rows, ("task", "engine", "", "with"))]
    parts += [f"Problem: {problem}" for problem in findings["problems"]] or ["No problem was found."]
    return "\n\n".join(parts)


def _task(task: str, settings: Settings) -> dict[str, Any]:
    """Return what `hearth run` would do for a task."""
    try:
        plan = plan_worker(task, settings, Path())
    except HearthError as err:
        return {"engine": settings.worker(task).engine, "model": None, "state": "wrong", "problem": str(err)}
    return {
        "engine": plan.uri if plan.is_external else plan.engine,
        "model": plan.model,
        "state": _state(plan),
        "problem": plan.obstacle,
    }


def _state(plan: Plan) -> str:
    if not plan.is_set_up:
        return "not set up"
    if plan.obstacle:
        return "missing"
    if plan.is_external:
        return "external"
    return "starter" if plan.row and plan.row.is_starter and not plan.model else "installed"


def _engines() -> list[dict[str, Any]]:
    """Return every engine there is, and how to install the ones that are not."""
    return [
        {
            "task": task.value,
            "engine": name,
            "title": row.title,
            "is_installed": row.is_installed,
            "is_starter": row.is_starter,
            "install": how_to_install(row.extra) if row.extra else None,
        }
        for task in Task
        for name, row in TABLE[task].items()
        if name != "scripted"
    ]


async def _running_status(settings: Settings) -> dict[str, Any] | None:
    """Return the status of a hub that runs with these settings, if there is one."""
    host, port = settings.hub.http_host, settings.hub.http_port
    headers = {}
    if not is_loopback(host):
        headers["Authorization"] = f"Bearer {await asyncio.to_thread(_token, settings)}"
    place = {"0.0.0.0": "127.0.0.1", "::": "[::1]"}.get(host, f"[{host}]" if ":" in host else host)  # noqa: S104
    timeout = aiohttp.ClientTimeout(total=_ASK_SECONDS)
    try:
        async with (
            aiohttp.ClientSession(timeout=timeout, headers=headers) as session,
            session.get(f"http://{place}:{port}/api/v1/status") as response,
        ):
            status = await response.json()
    except (aiohttp.ClientError, TimeoutError, ValueError):
        return None
    return status if isinstance(status, dict) and "workers" in status else None


def _token(settings: Settings) -> str:
    try:
        return (settings.data_dir / "token").read_text(encoding="ascii").strip()
    except (OSError, UnicodeDecodeError):
        return ""


def _running_problems(status: Mapping[str, Any]) -> list[str]:
    problems = [
        f"The {task} worker is {worker['state']}: {worker['last_error'] or 'no reason is known.'}"
        for task, worker in status["workers"].items()
        if worker["state"] not in {"ready", "external", "absent"}
    ]
    failures = status["self_check"].get("failures", {})
    return problems + [f"The self-check failed at {stage}: {why}" for stage, why in failures.items()]


async def _port_problems(settings: Settings) -> list[str]:
    """Return which of our ports somebody else uses."""
    problems = []
    for name, uri in (
        ("hub.uri", settings.hub.uri),
        ("hub.http_port", f"tcp://{settings.hub.http_host}:{settings.hub.http_port}"),
    ):
        scheme, host, port = parse_uri(uri)
        if scheme == "tcp" and port and await _is_taken(host, port):
            problems.append(f"Another program uses port {port}: choose another one with '{name}'.")
    return problems


async def _is_taken(host: str, port: int) -> bool:
    try:
        server = await asyncio.start_server(lambda _reader, writer: writer.close(), host, port)
    except OSError:
        return True
    server.close()
    await server.wait_closed()
    return False
