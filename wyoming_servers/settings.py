"""Settings: the only reader of the environment and of `hearth.toml`.

Precedence: command line, then environment (`HEARTH_…`), then `hearth.toml`, then the defaults below.
"""

import os
import tomllib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, fields, replace
from pathlib import Path
from typing import Any

from wyoming_servers.errors import SettingsError

TASKS = ("vad", "stt", "tts", "llm")


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkerSettings:
    """One worker, under `[vad]`, `[stt]`, `[tts]` or `[llm]`."""

    engine: str = "auto"
    """An engine of `hearth doctor`. `auto`: the best that is installed and has its model; `none`: no worker."""
    model: str | None = None
    """Name of a model file or folder inside a model folder."""
    uri: str | None = None
    """A Wyoming server somewhere else, used instead of a worker of our own."""
    url: str | None = None
    """For `engine = "openai"`: the server's base address, such as http://127.0.0.1:8080/v1."""
    model_name: str | None = None
    """For `engine = "openai"`: what that server calls the model."""
    voice: str | None = None
    """For tts: the voice used when none is asked for."""
    threads: int = 0
    """Most threads the engine keeps busy; 0 for one per core, at most 4."""


@dataclass(frozen=True, slots=True, kw_only=True)
class HubSettings:
    """The hub, under `[hub]`."""

    uri: str = "tcp://127.0.0.1:10700"
    """Where Home Assistant finds stt, tts and conversation."""
    http_host: str = "127.0.0.1"
    http_port: int = 10780
    """0 takes any free port."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Settings:
    """Everything that can be set."""

    language: str = "en"
    data_dir: Path = field(default_factory=lambda: default_data_dir(os.environ))
    """Where Hearth keeps what it makes: the home, the starter's language model, the access token."""
    model_dirs: tuple[Path, ...] = ()
    """More folders models may lie in, beside `data_dir`/models."""
    log_level: str = "INFO"
    hub: HubSettings = HubSettings()
    vad: WorkerSettings = WorkerSettings()
    stt: WorkerSettings = WorkerSettings()
    tts: WorkerSettings = WorkerSettings()
    llm: WorkerSettings = WorkerSettings()
    home: Mapping[str, Any] | None = None
    """The home as written in `[home]`; one pushed over HTTP takes its place."""
    llm_api_key: str | None = field(default=None, repr=False)
    """From HEARTH_LLM_API_KEY only, so that it never lies in a settings file."""

    @property
    def model_folders(self) -> tuple[Path, ...]:
        """Every folder a model may lie in."""
        return (self.data_dir / "models", *self.model_dirs)

    def worker(self, task: str) -> WorkerSettings:
        """Return the settings of one task's worker."""
        worker: WorkerSettings = getattr(self, task)
        return worker


def default_data_dir(environ: Mapping[str, str]) -> Path:
    """Return where data goes when nothing is set, after the XDG base directory specification."""
    base = environ.get("XDG_DATA_HOME") or str(Path(environ.get("HOME", "~")).expanduser() / ".local/share")
    return Path(base) / "hearth"


def default_threads() -> int:
    """Return how many threads an engine may keep busy on this machine."""
    return min(4, len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1)


def load_settings(
    toml: Path | None = None,
    environ: Mapping[str, str] | None = None,
    overrides: Mapping[str, Any] | None = None,
) -> Settings:
    """Read settings; `overrides` are dotted keys (`stt.engine`) from the command line, None meaning not given.

    Raises SettingsError naming the key that is wrong and where it stands.
    """
    environ = os.environ if environ is None else environ
    tree: dict[str, Any] = _read_toml(toml or _default_toml(environ))
    for key, value in _from_environment(environ).items():
        _put(tree, key, value)
    for key, value in (overrides or {}).items():
        if value is not None:
            _put(tree, key, value)
    return _build(tree, environ)


def _default_toml(environ: Mapping[str, str]) -> Path | None:
    if path := environ.get("HEARTH_CONFIG"):
        return Path(path)
    here = Path("hearth.toml")
    return here if here.is_file() else None


def _read_toml(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    try:
        return tomllib.loads(path.read_text(encoding="utf-8"))
    except OSError as err:
        raise SettingsError(f"Cannot read {path}: {err.strerror}.") from err
    except (tomllib.TOMLDecodeError, UnicodeDecodeError) as err:
        raise SettingsError(f"{path} is not valid TOML: {err}.") from err


def _from_environment(environ: Mapping[str, str]) -> dict[str, Any]:
    """Map HEARTH_STT_ENGINE to stt.engine and so on, for every setting that has a plain value."""
    names = {"HEARTH_LANGUAGE": "language", "HEARTH_DATA_DIR": "data_dir", "HEARTH_LOG_LEVEL": "log_level"}
    names |= {f"HEARTH_HUB_{item.name.upper()}": f"hub.{item.name}" for item in fields(HubSettings)}
    for task in TASKS:
        names |= {
            f"HEARTH_{task.upper()}_{item.name.upper()}": f"{task}.{item.name}" for item in fields(WorkerSettings)
        }
    found: dict[str, Any] = {key: environ[name] for name, key in names.items() if environ.get(name)}
    if folders := environ.get("HEARTH_MODEL_DIRS"):
        found["model_dirs"] = folders.split(os.pathsep)
    return found


def _put(tree: dict[str, Any], dotted: str, value: Any) -> None:
    section, _, key = dotted.rpartition(".")
    branch = tree.setdefault(section, {}) if section else tree
    if not isinstance(branch, dict):
        raise SettingsError(f"[{section}] must be a table.")
    branch[key] = value


def _build(tree: dict[str, Any], environ: Mapping[str, str]) -> Settings:
    sections: dict[str, type[HubSettings | WorkerSettings]] = {
        "hub": HubSettings,
        **dict.fromkeys(TASKS, WorkerSettings),
    }
    known = {item.name for item in fields(Settings)} - {"llm_api_key"}
    values: dict[str, Any] = {}
    for key, value in tree.items():
        if key not in known:
            raise SettingsError(f"There is no setting '{key}'. Known: {', '.join(sorted(known))}.")
        values[key] = _section(key, value, sections[key]) if key in sections else _plain(key, value)
    if "data_dir" not in values:
        values["data_dir"] = default_data_dir(environ)
    return replace(Settings(**values), llm_api_key=environ.get("HEARTH_LLM_API_KEY") or None)


def _plain(key: str, value: Any) -> Any:
    if key == "home":
        if not isinstance(value, dict):
            raise SettingsError("[home] must be a table.")
        return value
    if key == "model_dirs":
        if isinstance(value, str) or not isinstance(value, Sequence):
            raise SettingsError("'model_dirs' must be a list of folders.")
        return tuple(Path(_text(key, folder)).expanduser() for folder in value)
    if key == "data_dir":
        return Path(_text(key, str(value))).expanduser()
    if key == "log_level":
        level = _text(key, value).upper()
        if level not in {"DEBUG", "INFO", "WARNING", "ERROR"}:
            raise SettingsError("'log_level' must be debug, info, warning or error.")
        return level
    return _text(key, value)


def _section(name: str, value: Any, kind: type[HubSettings | WorkerSettings]) -> HubSettings | WorkerSettings:
    if not isinstance(value, dict):
        raise SettingsError(f"[{name}] must be a table.")
    types = {item.name: item.type for item in fields(kind)}
    checked: dict[str, Any] = {}
    for key, entry in value.items():
        if key not in types:
            raise SettingsError(f"There is no setting '{name}.{key}'. Known: {', '.join(types)}.")
        checked[key] = _whole(f"{name}.{key}", entry) if types[key] is int else _text(f"{name}.{key}", entry)
    return kind(**checked)


def _text(key: str, value: Any) -> str:
    if not isinstance(value, str) or not value:
        raise SettingsError(f"'{key}' must be a text.")
    return value


def _whole(key: str, value: Any) -> int:
    try:
        number = int(value) if isinstance(value, (int, str)) and not isinstance(value, bool) else -1
    except ValueError:
        number = -1
    if not 0 <= number <= 65_535:
        raise SettingsError(f"'{key}' must be a whole number from 0 to 65535.")
    return number
