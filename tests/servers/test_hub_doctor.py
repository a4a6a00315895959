"""`hearth doctor` and `hearth run --check-only`, as a person or a script calls them."""

import asyncio
import json
import os
import socket
import subprocess
import sys
from dataclasses import replace

import pytest

from tests.support.hub_process import HubProcess
from wyoming_servers.engines.table import TABLE, Task
from wyoming_servers.hub.doctor import examine, render_findings
from wyoming_servers.settings import HubSettings, Settings, WorkerSettings

pytestmark = pytest.mark.slow

SENTENCE = "turn on the kitchen light"
ENVIRON = {name: value for name, value in os.environ.items() if not name.startswith("HEARTH_")}
FREE = HubSettings(uri="tcp://127.0.0.1:0", http_port=0)


def hearth(folder, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "wyoming_servers.cli", *arguments],
        cwd=folder,
        env={**ENVIRON, "HEARTH_DATA_DIR": str(folder), "HEARTH_SCRIPT_STT": SENTENCE, **environ},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )


def check_only(folder, *arguments: str, **environ: str) -> subprocess.CompletedProcess[str]:
    return hearth(
        folder, "run", "--check-only", "--uri", "tcp://127.0.0.1:0", "--http-port", "0", *arguments, **environ
    )


def test_self_check_passes_and_says_where_it_is_ready(tmp_path):
    done = check_only(tmp_path, HEARTH_STT_ENGINE="scripted")
    assert done.returncode == 0, done.stderr
    lines = done.stdout.splitlines()
    assert [line.split()[0] for line in lines[1:6]] == ["vad", "stt", "tts", "llm", "router"]
    assert "espeak (starter)" in done.stdout
    assert lines[-1].startswith("Hearth is ready: Home Assistant → Wyoming Protocol → 127.0.0.1:")


@pytest.mark.parametrize(
    ("environ", "stage"),
    [
        ({"HEARTH_SCRIPT_STT": "the rain in spain"}, "route"),
        ({"HEARTH_SCRIPT_STT": "!fail"}, "stt"),
        ({"HEARTH_TTS_ENGINE": "scripted"}, "vad"),
        ({"HEARTH_LLM_ENGINE": "openai"}, "llm"),
        ({"HEARTH_TTS_URI": "tcp://127.0.0.1:9"}, "tts"),
    ],
)
def test_failed_self_check_names_the_stage(tmp_path, environ, stage):
    done = check_only(tmp_path, **{"HEARTH_STT_ENGINE": "scripted", **environ})
    assert done.returncode == 1
    assert f"Self-check: {stage}: " in done.stdout
    assert "Hearth is ready" not in done.stdout


def test_taken_port_is_said_and_nothing_is_left(tmp_path):
    with socket.create_server(("127.0.0.1", 0)) as taken:
        port = taken.getsockname()[1]
        done = hearth(tmp_path, "run", "--uri", f"tcp://127.0.0.1:{port}", "--http-port", "0")
    assert done.returncode == 1
    assert f"Cannot listen on tcp://127.0.0.1:{port}" in done.stderr
    assert "Traceback" not in done.stderr


def test_doctor_without_a_hub_says_what_would_run(tmp_path):
    done = hearth(tmp_path, "doctor", "--json", HEARTH_HUB_URI="tcp://127.0.0.1:0", HEARTH_HUB_HTTP_PORT="0")
    findings = json.loads(done.stdout)
    assert done.returncode == 0
    assert findings["running"] is None
    assert {task: one["state"] for task, one in findings["tasks"].items()} == {
        "vad": "starter",
        "stt": "starter",
        "tts": "starter",
        "llm": "not set up",
    }
    assert findings["problems"] == []


def test_doctor_asks_the_hub_that_runs(tmp_path):
    hub = HubProcess(tmp_path, HEARTH_STT_ENGINE="scripted", HEARTH_SCRIPT_STT=SENTENCE)
    try:
        hub.start()
        port = hub.http.rpartition(":")[2]
        done = hearth(tmp_path, "doctor", HEARTH_HUB_URI=hub.uri, HEARTH_HUB_HTTP_PORT=port)
        assert done.returncode == 0
        assert f"A hub is running at {hub.uri}." in done.stdout
        assert "No problem was found." in done.stdout
    finally:
        hub.stop()


async def test_doctor_names_the_extra_that_is_missing(tmp_path, monkeypatch):
    row = replace(TABLE[Task.TTS]["espeak"], requires=("a_library_nobody_has",))
    monkeypatch.setitem(TABLE[Task.TTS], "espeak", row)
    findings = await examine(Settings(data_dir=tmp_path, hub=FREE))
    assert findings["tasks"]["tts"]["state"] == "missing"
    assert not findings["is_fine"]
    shown = render_findings(findings)
    assert "Problem: The engine 'espeak' is not installed. Install it with: script/run --with starter" in shown


async def test_doctor_names_a_model_that_is_missing(tmp_path):
    settings = Settings(data_dir=tmp_path, hub=FREE, stt=WorkerSettings(engine="whisper", model="tiny"))
    assert "There is no model 'tiny'" in " ".join((await examine(settings))["problems"])


async def test_doctor_notices_a_port_somebody_else_uses(tmp_path):
    taken = await asyncio.start_server(lambda _reader, writer: writer.close(), "127.0.0.1", 0)
    port = taken.sockets[0].getsockname()[1]
    settings = Settings(data_dir=tmp_path, hub=HubSettings(uri=f"tcp://127.0.0.1:{port}", http_port=0))
    findings = await examine(settings)
    taken.close()
    await taken.wait_closed()
    assert findings["problems"] == [f"Another program uses port {port}: choose another one with 'hub.uri'."]


async def test_doctor_says_when_a_language_has_no_commands(tmp_path):
    findings = await examine(Settings(data_dir=tmp_path, hub=FREE, language="tlh"))
    assert any("'tlh'" in problem for problem in findings["problems"])


async def test_doctor_says_when_the_starter_does_not_understand_the_language(tmp_path):
    findings = await examine(Settings(data_dir=tmp_path, hub=FREE, language="de-DE"))
    assert findings["tasks"]["stt"]["state"] == "missing"
    assert "PocketSphinx does not understand the language 'de-DE'" in findings["problems"][0]
    assert (await examine(Settings(data_dir=tmp_path, hub=FREE, language="en-GB")))["is_fine"]
