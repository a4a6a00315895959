"""WhisperStt on a tiny real model: bounded, local, and silent rather than wrong."""

import asyncio
import shutil
import time

import numpy as np
import psutil
import pytest

from tests.support.raw_wire import event, first
from tests.support.speaker import Speaker
from tests.support.worker_process import WorkerProcess
from wyoming_servers.engines.base import EngineOptions, SttRequest
from wyoming_servers.errors import ModelError, RequestError
from wyoming_servers.speech.gates import is_echo, is_loop, is_silent

pytest.importorskip("faster_whisper", reason="the extra 'whisper' is not installed")
pytest.importorskip("espeakng_loader", reason="the extra 'starter' is not installed")

from tests.support.whisper_model import SENTENCE, write_whisper
from wyoming_servers.engines.stt.whisper import WhisperStt


def noise(seconds: float, level: float = 0.1) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal(int(16_000 * seconds)) * level).astype(np.float32)


def hear(engine: WhisperStt, audio: np.ndarray, **request: object):
    stream = engine.stream(SttRequest(**request))
    for block in np.array_split(audio, max(1, len(audio) // 1600)):
        assert stream.feed(block) is None
    return stream.finish()


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_whisper(tmp_path_factory.mktemp("whisper") / "tiny")


@pytest.fixture(scope="module")
def engine(folder):
    engine = WhisperStt(EngineOptions(model=folder))
    yield engine
    engine.close()


@pytest.mark.parametrize(("asked", "answered"), [("en", "en"), ("nb-NO", "nb"), ("pt_BR", "pt"), (None, "en")])
def test_language_is_passed_or_detected(engine, asked, answered):
    result = hear(engine, noise(2), language=asked)
    assert (result.text, result.language) == (SENTENCE, answered)


def test_unknown_language_is_refused(engine):
    with pytest.raises(RequestError, match="'tlh'"):
        engine.stream(SttRequest(language="tlh"))


def test_english_only_model_offers_english(tmp_path):
    engine = WhisperStt(EngineOptions(model=write_whisper(tmp_path / "en", is_multilingual=False)))
    assert engine.languages == ["en"]
    assert hear(engine, noise(1), language="en-GB").text == SENTENCE


def test_multilingual_model_offers_tags_home_assistant_knows(engine):
    assert {"en", "nl", "nb", "jv", "zh"} <= set(engine.languages)
    assert not {"no", "jw"} & set(engine.languages)


@pytest.mark.parametrize("audio", [np.zeros(32_000, np.float32), noise(2, 1e-5), noise(0.01), noise(0)])
def test_silence_is_not_decoded(engine, audio):
    assert hear(engine, audio, language="en").text == ""


def test_audio_over_one_window_is_heard_to_its_end(engine):
    assert hear(engine, noise(45), language="en").text == f"{SENTENCE} {SENTENCE}"


def test_unsure_text_is_dropped(tmp_path):
    engine = WhisperStt(EngineOptions(model=write_whisper(tmp_path / "unsure", certainty=1.0)))
    assert hear(engine, noise(2), language="en").text == ""


def test_loops_are_dropped_and_bounded(tmp_path, engine):
    looping = WhisperStt(EngineOptions(model=write_whisper(tmp_path / "looping", is_looping=True)))
    hear(engine, noise(2), language="en")
    start = time.perf_counter()
    assert hear(looping, noise(2), language="en").text == ""
    assert time.perf_counter() - start < 5


def test_hundreds_of_names_fit_the_prompt(engine):
    names = [f"Kitchen light {number}" for number in range(500)]
    assert hear(engine, noise(29), language="en", names=names, terms=["blinds"]).text == SENTENCE


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json", "config.json", "vocabulary.json"])
def test_missing_file_is_named(folder, tmp_path, name):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        WhisperStt(EngineOptions(model=copy))


@pytest.mark.parametrize("name", ["model.bin", "tokenizer.json"])
def test_damaged_file_is_refused(folder, tmp_path, name):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).write_bytes((copy / name).read_bytes()[:1000])
    with pytest.raises(ModelError, match="cannot be loaded"):
        WhisperStt(EngineOptions(model=copy))


def test_mismatched_mel_bands_are_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "preprocessor_config.json").write_text('{"feature_size": 128}')
    with pytest.raises(ModelError, match="preprocessor_config"):
        WhisperStt(EngineOptions(model=copy))


@pytest.mark.parametrize("model", [None, "missing"])
def test_no_folder_is_refused_without_asking_a_hub(tmp_path, model):
    with pytest.raises(ModelError):
        WhisperStt(EngineOptions(model=model and tmp_path / model))


async def test_worker_transcribes_and_then_rests(folder, tmp_path):
    """In a process of its own, with threads that do not spin while nothing is asked."""
    shutil.copytree(folder, tmp_path / "models" / "tiny")
    worker = WorkerProcess("stt", tmp_path, "--engine", "whisper", "--model", "tiny")
    try:
        audio = Speaker()("Good morning, how are you?")
        data = {"rate": 16_000, "width": 2, "channels": 1}
        sent = event("transcribe", {"language": "en", "transcript_names": ["Kitchen light"]})
        sent += event("audio-start", data) + event("audio-chunk", data, audio) + event("audio-stop")
        assert (await first(worker.uri, sent, "transcript")).data["text"] == SENTENCE
        busy = psutil.Process(worker.process.pid).cpu_times()
        await asyncio.sleep(1)
        rested = psutil.Process(worker.process.pid).cpu_times()
        assert (rested.user + rested.system) - (busy.user + busy.system) < 0.3
    finally:
        assert worker.stop() == 0


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Thank you. Thank you. Thank you. Thank you.", True),
        ("no no no no", True),
        ("アアアアアアアアアアアア", True),
        ("Turn on the light and the light and the light", False),
        ("turn the light on, turn the fan on, turn the lamp on, turn it on", False),
        ("no no no", False),
        ("20000", False),
        ("", False),
    ],
)
def test_loops_are_told_from_speech(text, expected):
    assert is_loop(text) is expected


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Kitchen light, bedroom lamp, hall.", True),
        ("Bedroom lamp, Hall, Garage door", True),
        ("Kitchen light, bedroom lamp", False),
        ("Turn on kitchen light, bedroom lamp, hall", False),
        ("Hall, bedroom lamp, kitchen light", False),
        ("", False),
    ],
)
def test_echo_of_the_prompt_is_told_from_speech(text, expected):
    assert is_echo(text, ["Kitchen light", "Bedroom lamp", "Hall", "Garage door"]) is expected


def test_a_short_word_in_long_silence_is_not_silence():
    audio = np.zeros(80_000, np.float32)
    audio[40_000:44_000] = noise(0.25, 0.005)
    assert not is_silent(audio)
