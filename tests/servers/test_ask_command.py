"""`hearth ask` as a person runs it, against a whole hub."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.hub_process import HubProcess
from tests.support.speaker import Speaker
from tests.support.wav import read_wav, write_wav

ENGINES = {f"HEARTH_{task}_ENGINE": "scripted" for task in ("VAD", "STT", "TTS")}


@pytest.fixture(scope="module")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    hub = HubProcess(
        tmp_path_factory.mktemp("hub"),
        **ENGINES,
        HEARTH_LLM_ENGINE="none",
        HEARTH_SCRIPT_STT="turn on the bedroom light",
    )
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


def ask(folder: Path, *arguments: str | Path) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "wyoming_servers.cli", "ask", *arguments]
    return subprocess.run(command, cwd=folder, capture_output=True, text=True, timeout=60, check=False)


def test_a_recording_becomes_a_command_and_a_spoken_reply(hub: HubProcess, tmp_path: Path) -> None:
    wav = write_wav(tmp_path / "question.wav", Speaker()("turn on the bedroom light"))

    done = ask(tmp_path, "--uri", hub.uri, "--wav", wav, "--out", "answer.wav", "--json")

    assert (done.returncode, done.stderr) == (0, "")
    answer = json.loads(done.stdout)
    times = answer.pop("timings_ms")
    assert answer == {
        "transcript": "turn on the bedroom light",
        "intents": [{"name": "HassTurnOn", "slots": {"name": "Bedroom light"}}],
        "reply": "Turned on",
    }
    assert times["llm"] is None
    # The servers cannot know before the words have ended, and may not take the whole tail to notice.
    assert 0 < times["endpoint"] < 3_000
    assert times["total"] > times["endpoint"]
    assert len(read_wav(tmp_path / "answer.wav")[2]) > 4_000


def test_a_written_command_is_shown_to_a_person(hub: HubProcess, tmp_path: Path) -> None:
    done = ask(tmp_path, "--uri", hub.uri, "--text", "turn off the bedroom light")

    assert done.returncode == 0
    assert "Intent     HassTurnOff (name: Bedroom light)" in done.stdout
    assert (tmp_path / "reply.wav").is_file()


def test_an_answer_only_home_assistant_knows_is_left_to_it(hub: HubProcess, tmp_path: Path) -> None:
    done = ask(tmp_path, "--uri", hub.uri, "--text", "is the bedroom light on")

    assert done.returncode == 0
    assert "Home Assistant's" in done.stdout
    assert not (tmp_path / "reply.wav").exists()


def test_what_nobody_understands_is_answered_politely(hub: HubProcess, tmp_path: Path) -> None:
    done = ask(tmp_path, "--uri", hub.uri, "--text", "why do cats purr", "--json")

    assert done.returncode == 0
    assert json.loads(done.stdout)["reply"].startswith("Sorry")
    assert (tmp_path / "reply.wav").is_file()


@pytest.mark.parametrize("as_json", [True, False])
@pytest.mark.parametrize(
    ("arguments", "sentence"),
    [
        (["--text", "hello", "--uri", "tcp://127.0.0.1:9"], "Nothing answers at tcp://127.0.0.1:9."),
        (["--text", "hello", "--uri", "nowhere"], "'nowhere' is not an address"),
        (["--wav", "missing.wav"], "Cannot read missing.wav"),
        (["--text", "hello", "--out", "none/reply.wav"], "there is no folder none"),
    ],
)
def test_a_failure_is_one_sentence_and_status_1(
    tmp_path: Path, arguments: list[str], sentence: str, as_json: bool
) -> None:
    done = ask(tmp_path, *arguments, *(["--json"] if as_json else []))

    assert done.returncode == 1
    assert done.stderr == ""
    told = json.loads(done.stdout)["error"] if as_json else done.stdout
    assert sentence in told


def test_asking_without_a_question_is_wrong_use(tmp_path: Path) -> None:
    assert ask(tmp_path).returncode == 2
