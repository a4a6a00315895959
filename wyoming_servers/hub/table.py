"""The table of what is running, as `hearth run` and `hearth doctor` print it."""

from collections.abc import Mapping, Sequence
from typing import Any

_HEAD = ("task", "engine", "model", "state", "ms")
_STAGES = {"vad": "vad", "stt": "stt", "tts": "tts", "llm": "llm"}


def status_rows(status: Mapping[str, Any]) -> list[Sequence[str]]:
    """Return a row per task of what `/api/v1/status` says, the router's included."""
    timings = status.get("self_check", {}).get("timings_ms", {})
    rows: list[Sequence[str]] = []
    for task, worker in status["workers"].items():
        engine = worker["engine"] or worker["uri"] or "-"
        if worker["is_starter"]:
            engine += " (starter)"
        state = "not set up" if worker["state"] == "absent" else worker["state"]
        rows.append((task, engine, worker["model"] or "-", state, _ms(timings.get(_STAGES[task]))))
    rows.append(("router", "hassil", f"home of {status['home']['language']}", "ready", _ms(timings.get("route"))))
    return rows


def render(rows: Sequence[Sequence[str]], head: Sequence[str] = _HEAD) -> str:
    """Return rows as an aligned table."""
    table = [head, *rows]
    widths = [max(len(row[column]) for row in table) for column in range(len(head))]
    return "\n".join(
        "  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip() for row in table
    )


def _ms(value: float | None) -> str:
    return "-" if value is None else f"{value:.0f}"
