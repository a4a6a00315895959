"""The documents name everything a person can set, choose or run."""

import re
from dataclasses import fields
from pathlib import Path

import pytest

from wyoming_servers.cli import _parser
from wyoming_servers.engines.table import TABLE, Task
from wyoming_servers.settings import TASKS, HubSettings, Settings, WorkerSettings, load_settings

ROOT = Path(__file__).parents[2]
SETTINGS_PAGE = (ROOT / "docs/settings.md").read_text(encoding="utf-8")
README = (ROOT / "README.md").read_text(encoding="utf-8")
ARCHITECTURE_PAGE = (ROOT / "docs/architecture.md").read_text(encoding="utf-8")
BENCHMARKS_PAGE = (ROOT / "docs/benchmarks.md").read_text(encoding="utf-8")


@pytest.mark.parametrize("kind", [Settings, HubSettings, WorkerSettings])
def test_every_setting_is_documented(kind: type) -> None:
    names = {item.name for item in fields(kind)} - {*TASKS, "hub", "llm_api_key"}
    assert {name for name in names if f"`{name}`" not in SETTINGS_PAGE} == set()


@pytest.mark.parametrize("task", list(Task))
def test_every_engine_stands_in_the_readme(task: Task) -> None:
    names = set(TABLE[task]) - {"scripted"}
    assert {name for name in names if f"`{name}`" not in README} == set()


def test_every_command_is_documented() -> None:
    actions = [action for action in _parser()._actions if action.choices is not None and action.dest == "command"]
    shown = {choice.dest for action in actions for choice in action._choices_actions}
    documents = README + SETTINGS_PAGE + ARCHITECTURE_PAGE
    assert {name for name in shown if f"hearth {name}" not in documents} == set()


def test_every_benchmark_is_documented() -> None:
    names = {path.stem for path in (ROOT / "benchmarks").glob("*.py")}
    assert {name for name in names if f"script/bench {name}" not in BENCHMARKS_PAGE} == set()


def test_every_error_code_is_documented() -> None:
    source = "".join(path.read_text(encoding="utf-8") for path in (ROOT / "wyoming_servers").rglob("*.py"))
    codes = set(re.findall(r'RequestError\(\s*"([a-z-]+)"', source))
    assert len(codes) > 20
    assert {code for code in codes if f"`{code}`" not in ARCHITECTURE_PAGE} == set()


def test_the_example_settings_are_valid(tmp_path: Path) -> None:
    example = SETTINGS_PAGE.split("```toml\n", 1)[1].split("```", 1)[0]
    (tmp_path / "hearth.toml").write_text(example, encoding="utf-8")
    settings = load_settings(tmp_path / "hearth.toml", environ={})
    assert settings.stt.engine == "whisper"


def test_no_file_could_be_taken_for_an_app() -> None:
    taken = [path for path in ROOT.rglob("config.*") if path.suffix in {".yaml", ".yml", ".json"}]
    inside = [
        path.relative_to(ROOT)
        for path in taken
        if not any(part.startswith(".") for part in path.relative_to(ROOT).parts)
    ]
    assert [str(path) for path in inside if path.parts[0] != "addon"] == []
