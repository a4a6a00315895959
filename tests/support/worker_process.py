"""A worker in a process of its own, as `hearth serve` starts it."""

import os
import re
import subprocess
import sys
import threading
from pathlib import Path

import psutil

_START_SECONDS = 60


class WorkerProcess:
    """A worker on a free port; what it logs is kept."""

    def __init__(self, task: str, folder: Path, *arguments: str, **environ: str) -> None:
        """Start it and wait until it listens. Raises RuntimeError with its log if it does not."""
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
        command = [sys.executable, "-m", "wyoming_servers.cli", "serve", task, "--uri", "tcp://127.0.0.1:0"]
        self._lines: list[str] = []
        self._is_ready = threading.Event()
        self.uri = ""
        self.process = subprocess.Popen(
            [*command, *(arguments or ("--engine", "scripted"))],
            cwd=folder,
            env={**ours, "HEARTH_DATA_DIR": str(folder), "PYTHONPATH": os.pathsep.join(sys.path), **environ},
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            text=True,
        )
        self._reading = threading.Thread(target=self._read)
        self._reading.start()
        if not self._is_ready.wait(_START_SECONDS) or not self.uri:
            self.stop()
            raise RuntimeError(f"The worker is not there:\n{self.log}")

    @property
    def log(self) -> str:
        """Everything it has logged."""
        return "".join(self._lines)

    @property
    def memory_bytes(self) -> int:
        """What it holds in memory now."""
        return int(psutil.Process(self.process.pid).memory_info().rss)

    def stop(self) -> int:
        """End it as a supervisor would and return its exit status."""
        self.process.terminate()
        try:
            status = self.process.wait(20)
        except subprocess.TimeoutExpired:
            self.process.kill()
            status = self.process.wait()
        self._reading.join()
        for pipe in (self.process.stdin, self.process.stderr):
            if pipe:
                pipe.close()
        return status

    def _read(self) -> None:
        assert self.process.stderr
        for text in self.process.stderr:
            self._lines.append(text)
            if found := re.search(r"listens on (\S+)", text):
                self.uri = found[1]
                self._is_ready.set()
        self._is_ready.set()
