"""A real Home Assistant in a process of its own, from the environment `script/setup` makes."""

import os
import shutil
import signal
import socket
import subprocess
import time
import urllib.error
import urllib.request
from pathlib import Path

CONFIGURATION = """\
homeassistant:
  name: Test home
  latitude: 52.1
  longitude: 5.1
  elevation: 0
  unit_system: metric
  time_zone: UTC
  country: NL
  language: en

http:
  server_host: 127.0.0.1
  server_port: {port}

# No default_config: everything runs without a network.
api:
websocket_api:
config:
onboarding:
conversation:
intent:
stt:
tts:
assist_pipeline:

logger:
  default: info

input_boolean:
  kitchen_lamp:
  office_lamp:

template:
  - light:
      - name: Kitchen light
        unique_id: kitchen_light
        state: "{{{{ is_state('input_boolean.kitchen_lamp', 'on') }}}}"
        turn_on: {{action: input_boolean.turn_on, target: {{entity_id: input_boolean.kitchen_lamp}}}}
        turn_off: {{action: input_boolean.turn_off, target: {{entity_id: input_boolean.kitchen_lamp}}}}
      - name: Office light
        unique_id: office_light
        state: "{{{{ is_state('input_boolean.office_lamp', 'on') }}}}"
        turn_on: {{action: input_boolean.turn_on, target: {{entity_id: input_boolean.office_lamp}}}}
        turn_off: {{action: input_boolean.turn_off, target: {{entity_id: input_boolean.office_lamp}}}}
"""
"""A home of two lights, which are exposed to Assist by default."""

_START_SECONDS = 180
_STOP_SECONDS = 30


def environment_folder(version: str) -> Path:
    """Return where the environment of this version is, whether it is there or not."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache")
    return cache / "hearth" / f"home-assistant-{version}"


def free_port() -> int:
    """Return a port of 127.0.0.1 nobody listens on."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


class HomeAssistant:
    """One running instance with a configuration of its own."""

    def __init__(self, version: str, folder: Path) -> None:
        """Write the configuration into `folder` and start."""
        environment = environment_folder(version)
        self.version = version
        self.log = folder / "hass.log"
        self.ffmpeg = shutil.which("ffmpeg") or str(environment / "bin/ffmpeg")
        port = free_port()
        self.url = f"http://127.0.0.1:{port}"
        (folder / "configuration.yaml").write_text(CONFIGURATION.format(port=port), encoding="utf-8")
        environ = {name: value for name, value in os.environ.items() if name not in {"PYTHONPATH", "VIRTUAL_ENV"}}
        # Beside ffmpeg, Home Assistant looks for the environment's uv here.
        environ["PATH"] = f"{environment / 'bin'}{os.pathsep}{environ['PATH']}"
        with self.log.open("wb") as log:
            self._process = subprocess.Popen(
                [environment / "bin/hass", "--config", folder],
                cwd=folder,  # not the repository: Home Assistant imports from where it stands
                env=environ,
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )

    def wait_ready(self) -> None:
        """Return when it is up. Raises RuntimeError with the end of its log if it does not come up."""
        deadline = time.monotonic() + _START_SECONDS
        while not self._is_ready():
            if self._process.poll() is not None or time.monotonic() > deadline:
                raise RuntimeError(f"Home Assistant {self.version} did not start:\n{self.log_text()[-4000:]}")
            time.sleep(0.2)

    def _is_ready(self) -> bool:
        if "Home Assistant initialized in" not in self.log_text():
            return False
        try:
            with urllib.request.urlopen(f"{self.url}/api/onboarding", timeout=5) as response:
                return bool(response.status == 200)
        except (urllib.error.URLError, TimeoutError):
            return False

    def log_text(self) -> str:
        """Return its log so far."""
        return self.log.read_text(encoding="utf-8", errors="replace")

    def stop(self) -> None:
        """End it, and whatever it started."""
        self._process.terminate()
        try:
            self._process.wait(_STOP_SECONDS)
        except subprocess.TimeoutExpired:
            os.killpg(self._process.pid, signal.SIGKILL)
            self._process.wait()
