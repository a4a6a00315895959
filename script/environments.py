"""Makes the environments the scripts here run in. Standard library only; any Python >= 3.11.

    environments.py hearth --extras starter,llama --groups servers    .venv, from uv.lock
    environments.py home-assistant 2026.11.0                          in the cache; prints its folder

An environment is left alone while what it was made from is unchanged. uv does the work where there is one,
pip otherwise, with the versions of uv.lock as constraints.
"""
# ruff: noqa: S603, T201  # a script: it runs programs and prints

import argparse
import fcntl
import hashlib
import json
import os
import shutil
import subprocess
import sys
import tomllib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

from python314 import find_python314

ROOT = Path(__file__).resolve().parent.parent
CACHE = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hearth"


class Environment:
    """A virtual environment and what it was made from."""

    def __init__(self, folder: Path, base_python: str) -> None:
        """Take `folder`, to be made with `base_python` unless it is there and works."""
        self.folder = folder
        self.python = folder / "bin/python"
        self._base_python = base_python
        self._stamp = folder / ".hearth.json"

    @property
    def works(self) -> bool:
        """Whether its Python runs."""
        return self.python.exists() and subprocess.run([self.python, "-c", ""], check=False).returncode == 0

    def read_stamp(self) -> dict[str, object]:
        """Return what was written when it was last complete; nothing if it never was."""
        try:
            stamp = json.loads(self._stamp.read_text(encoding="utf-8"))
        except (OSError, ValueError):
            return {}
        return stamp if isinstance(stamp, dict) else {}

    def write_stamp(self, stamp: dict[str, object]) -> None:
        """Say that it is complete."""
        self._stamp.write_text(json.dumps(stamp), encoding="utf-8")

    def make(self) -> None:
        """Begin afresh."""
        if self.folder.exists():
            if not (self.folder / "pyvenv.cfg").exists():
                sys.exit(f"{self.folder} is in the way: it is no virtual environment.")
            shutil.rmtree(self.folder)
        if shutil.which("uv"):
            run("uv", "venv", "--quiet", "--python", self._base_python, self.folder)
        else:
            # Debian's python3 comes without what puts pip into an environment, but often with a pip of its own.
            without = ["--without-pip"] if _has_module(self._base_python, "pip") else []
            run(self._base_python, "-m", "venv", *without, self.folder)

    def install(self, *arguments: str | Path) -> None:
        """Install packages."""
        if shutil.which("uv"):
            run("uv", "pip", "install", "--quiet", "--python", self.python, *arguments)
            return
        if _has_module(self.python, "pip"):
            pip: list[str | Path] = [self.python, "-m", "pip"]
        else:
            pip = [self._base_python, "-m", "pip", "--python", self.python]
        run(*pip, "install", "--quiet", "--disable-pip-version-check", *arguments)


def make_hearth(extras: Sequence[str], groups: Sequence[str]) -> None:
    """Bring .venv to what uv.lock says for these extras and dependency groups; what else is there stays."""
    known = project()["project"]["optional-dependencies"]
    if unknown := sorted(set(extras) - set(known)):
        sys.exit(f"There is no extra '{unknown[0]}'. Known: {', '.join(known)}.")
    environment = Environment(ROOT / ".venv", sys.executable)
    source = {"root": str(ROOT), "lock": digest(ROOT / "pyproject.toml", ROOT / "uv.lock")}
    stamp = environment.read_stamp() if environment.works else {}
    have = {name: set(map(str, stamp.get(name, ()))) for name in ("extras", "groups")}  # type: ignore[call-overload]
    wanted = {"extras": have["extras"] | set(extras), "groups": have["groups"] | set(groups)}
    if have == wanted and stamp.items() >= source.items():
        return
    say(f"installing Hearth with {', '.join(sorted(wanted['extras'] | wanted['groups']))} into .venv")
    if not environment.works:
        environment.make()
    names = {kind: sorted(entries) for kind, entries in wanted.items()}
    if shutil.which("uv"):
        chosen = [f"--extra={name}" for name in names["extras"]] + [f"--group={name}" for name in names["groups"]]
        common = ("--quiet", "--frozen", "--inexact", "--no-default-groups", "--project", ROOT)
        run("uv", "sync", *common, "--python", environment.python, *chosen)
    else:
        pins = environment.folder / "pins.txt"
        pins.write_text("\n".join(locked_versions()), encoding="utf-8")
        requirements = [entry for name in names["groups"] for entry in group_requirements(name)]
        environment.install("--constraint", pins, "--editable", f"{ROOT}[{','.join(names['extras'])}]", *requirements)
    environment.write_stamp({**source, **names})


def make_home_assistant(version: str) -> Path:
    """Return the folder of an environment with this Home Assistant and all it needs at its first start."""
    requirements = ROOT / "tests/e2e/requirements" / f"{version}.txt"
    if not requirements.exists():
        sys.exit(f"There is no {requirements.relative_to(ROOT)}, so Home Assistant {version} is not known here.")
    folder = CACHE / f"home-assistant-{version}"
    with locked(folder):
        environment = Environment(folder, "")
        stamp: dict[str, object] = {"requirements": digest(requirements)}
        if environment.works and environment.read_stamp() == stamp:
            return folder
        environment = Environment(folder, find_python314(CACHE / "python3.14"))
        say(f"installing Home Assistant {version} into {folder}")
        environment.make()
        environment.install(f"homeassistant=={version}")
        package = "lib/python3.14/site-packages/homeassistant"
        constraints = folder / package / "package_constraints.txt"
        environment.install("--constraint", constraints, "--requirement", requirements)
        add_ffmpeg(environment)
        environment.write_stamp(stamp)
    return folder


def add_ffmpeg(environment: Environment) -> None:
    """Put an ffmpeg beside its Python unless the machine has one: Home Assistant converts speech with it."""
    if shutil.which("ffmpeg"):
        return
    environment.install("imageio-ffmpeg")
    code = "import imageio_ffmpeg; print(imageio_ffmpeg.get_ffmpeg_exe())"
    binary = subprocess.run([environment.python, "-c", code], check=True, capture_output=True, text=True).stdout.strip()
    link = environment.folder / "bin/ffmpeg"
    link.unlink(missing_ok=True)
    link.symlink_to(binary)


def locked_versions() -> Iterator[str]:
    """Yield uv.lock's versions as pip constraints."""
    lock = tomllib.loads((ROOT / "uv.lock").read_text(encoding="utf-8"))
    for package in lock["package"]:
        if "registry" in package["source"]:
            marker = " or ".join(package.get("resolution-markers", ()))
            yield f"{package['name']}=={package['version']}" + (f" ; {marker}" if marker else "")


def group_requirements(name: str) -> list[str]:
    """Return what a dependency group of pyproject.toml asks for."""
    return [entry for entry in project()["dependency-groups"][name] if isinstance(entry, str)]


def project() -> dict[str, Any]:
    """Return pyproject.toml."""
    return tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))


def digest(*files: Path) -> str:
    """Return one checksum of all files."""
    return hashlib.sha256(b"\0".join(file.read_bytes() for file in files)).hexdigest()


def run(*command: str | Path) -> None:
    """Run a program; if it fails it has said why, and this script ends."""
    environ = {name: value for name, value in os.environ.items() if name != "VIRTUAL_ENV"}
    if status := subprocess.run(command, env=environ, check=False).returncode:
        sys.exit(f"'{Path(command[0]).name} {' '.join(map(str, command[1:3]))} …' failed with status {status}.")


@contextmanager
def locked(folder: Path) -> Iterator[None]:
    """Keep other runs of this script from making the same folder."""
    folder.parent.mkdir(parents=True, exist_ok=True)
    with folder.with_name(f"{folder.name}.lock").open("w") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)
        yield


def say(text: str) -> None:
    """Tell the person what is being done."""
    print(f"hearth: {text}", file=sys.stderr, flush=True)


def _has_module(python: str | Path, name: str) -> bool:
    return subprocess.run([python, "-m", name, "--version"], check=False, capture_output=True).returncode == 0


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    kinds = parser.add_subparsers(dest="kind", required=True)
    hearth = kinds.add_parser("hearth")
    hearth.add_argument("--extras", default="starter", type=lambda text: [name for name in text.split(",") if name])
    hearth.add_argument("--groups", default="", type=lambda text: [name for name in text.split(",") if name])
    home_assistant = kinds.add_parser("home-assistant")
    home_assistant.add_argument("version")
    args = parser.parse_args()
    if args.kind == "hearth":
        make_hearth(args.extras, args.groups)
    else:
        print(make_home_assistant(args.version))


if __name__ == "__main__":
    main()
