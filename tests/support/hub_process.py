"""`hearth run` in a process of its own, on free ports and with data of its own."""

import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable
from pathlib import Path
from typing import Any

from tests.support.home_assistant import free_port

_START_SECONDS = 120
_STOP_SECONDS = 15


class HubProcess:
    """A hub that can be stopped and started again at the same place."""

    def __init__(self, data_dir: Path, **environ: str) -> None:
        """Prepare one whose data lie in `data_dir`; `environ` are further settings (`HEARTH_…`)."""
        self.port = free_port()
        self.uri = f"tcp://127.0.0.1:{self.port}"
        self.http = f"http://127.0.0.1:{free_port()}"
        self.log = data_dir / "hub.log"
        ours = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
        self._environ = {
            **ours,
            "HEARTH_DATA_DIR": str(data_dir),
            "HEARTH_HUB_URI": self.uri,
            "HEARTH_HUB_HTTP_PORT": self.http.rpartition(":")[2],
            **environ,
        }
        self._folder = data_dir
        self._process: subprocess.Popen[bytes] | None = None

    def start(self) -> None:
        """Start and wait until the self-check is over. Raises RuntimeError with the end of its log."""
        self.launch()
        self.wait(lambda status: status["self_check"].get("state") != "running")

    def launch(self) -> None:
        """Start without waiting for anything."""
        with self.log.open("ab") as log:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "wyoming_servers.cli", "run"],
                cwd=self._folder,  # no hearth.toml of the developer's
                env=self._environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def stop(self) -> None:
        """End it and its workers."""
        if self._process is None or self._process.poll() is not None:
            return
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()

    def wait_ended(self, seconds: float) -> int:
        """Wait until it has ended by itself and return its exit status."""
        assert self._process is not None
        return self._process.wait(seconds)

    def put_home(self, home: dict[str, Any]) -> None:
        """Push a home and wait until everything knows it."""
        self._request("PUT", "/api/v1/home", home)
        self.wait(lambda status: status["training"]["state"] != "running")

    def status(self) -> dict[str, Any]:
        """Return `/api/v1/status`."""
        status: dict[str, Any] = self._request("GET", "/api/v1/status")
        return status

    def wait(self, is_there: Callable[[dict[str, Any]], bool]) -> None:
        """Return once its status satisfies `is_there`."""
        deadline = time.monotonic() + _START_SECONDS
        while True:
            try:
                if is_there(self.status()):
                    return
            except (urllib.error.URLError, ConnectionError, TimeoutError):
                pass
            if time.monotonic() > deadline or (self._process and self._process.poll() is not None):
                raise RuntimeError(f"The hub is not there:\n{self.log_text()[-4000:]}")
            time.sleep(0.1)

    def log_text(self) -> str:
        """Return what it has printed so far."""
        return self.log.read_text(encoding="utf-8", errors="replace") if self.log.exists() else ""

    def _request(self, method: str, path: str, data: Any = None) -> Any:
        body = None if data is None else json.dumps(data).encode()
        headers = {"Content-Type": "application/json"}
        request = urllib.request.Request(self.http + path, data=body, headers=headers, method=method)
        with urllib.request.urlopen(request, timeout=10) as response:
            return json.loads(response.read())
