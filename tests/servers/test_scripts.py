"""The scripts a person runs first, as far as that goes without installing anything."""

import subprocess
import sys
import tomllib
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
BASH = sorted(
    path
    for folder in ("script", ".ci")
    for path in (ROOT / folder).iterdir()
    if path.is_file() and path.read_bytes().startswith(b"#!/usr/bin/env bash")
)


def run(*command: str | Path, **options: object) -> subprocess.CompletedProcess[str]:
    return subprocess.run(command, capture_output=True, text=True, timeout=60, check=False, **options)  # type: ignore[call-overload, no-any-return]


@pytest.mark.parametrize("script", BASH, ids=lambda path: path.name)
def test_every_script_is_sound_bash_that_stops_at_an_error(script: Path) -> None:
    assert run("bash", "-n", script).stderr == ""
    assert "\nset -euo pipefail\n" in script.read_text()
    assert script.stat().st_mode & 0o111


def test_the_scripts_are_those_the_readme_names() -> None:
    assert {script.name for script in BASH} >= {"run", "setup", "lint", "test"}


def test_run_says_what_it_takes(tmp_path: Path) -> None:
    done = run(ROOT / "script/run", "--help", cwd=tmp_path)

    assert done.returncode == 0
    assert "--with EXTRA" in done.stdout


def test_without_a_new_enough_python_one_is_told_so(tmp_path: Path) -> None:
    old = tmp_path / "python3"
    old.write_text("#!/bin/sh\nexit 1\n")
    old.chmod(0o755)
    for tool in ("bash", "env"):
        (tmp_path / tool).symlink_to(Path("/usr/bin") / tool)

    done = run(ROOT / "script/find-python", env={"PATH": str(tmp_path)})

    assert done.returncode == 1
    assert done.stderr == "Hearth needs Python 3.11 or newer, and none was found. Install one, or put it on PATH.\n"


def test_run_names_the_extras_there_are() -> None:
    done = run(ROOT / "script/run", "--with", "whisper,gramophone")

    assert done.returncode == 1
    assert done.stderr.startswith("There is no extra 'gramophone'. Known: starter, whisper, ")


def test_without_a_python_for_home_assistant_one_is_told_what_to_do(tmp_path: Path) -> None:
    done = run(sys.executable, ROOT / "script/python314.py", tmp_path / "cache", env={"PATH": str(tmp_path)})

    assert done.returncode == 1
    assert done.stderr.startswith("No CPython 3.14.2 or newer, which Home Assistant needs: ")
    assert "HEARTH_SKIP_HOME_ASSISTANT=1" in done.stderr


def test_pip_is_held_to_the_versions_of_the_lock() -> None:
    code = "import environments; print('\\n'.join(environments.locked_versions()))"

    pins = run(sys.executable, "-c", code, cwd=ROOT / "script").stdout.splitlines()

    locked = tomllib.loads((ROOT / "uv.lock").read_text())["package"]
    wyoming = next(package["version"] for package in locked if package["name"] == "wyoming")
    assert f"wyoming=={wyoming}" in pins
    assert not [pin for pin in pins if pin.startswith("hearth-voice")]
    twice = [pin for pin in pins if pin.startswith("numpy==")]
    assert all(" ; python_full_version " in pin for pin in twice) or len(twice) == 1


def test_every_supported_home_assistant_has_its_requirements() -> None:
    names = {path.name for path in (ROOT / "tests/e2e/requirements").iterdir()}

    assert names == {"2026.10.4.txt", "2026.11.0.txt"}
