"""What every speech-to-text engine promises in `engines/base.py`, on tiny real models made here."""

import itertools
import threading

import numpy as np
import pytest

from tests.support.onnx_asr_model import write_onnx_asr
from tests.support.speaker import Speaker
from tests.support.whisper_model import write_whisper
from wyoming_servers.engines.base import EngineOptions, Samples, SttEngine, SttRequest, SttResult
from wyoming_servers.engines.table import TABLE, Task, load_engine
from wyoming_servers.errors import ModelError, RequestError


@pytest.fixture(scope="module", params=list(TABLE[Task.STT]))
def name(request) -> str:
    return request.param


@pytest.fixture(scope="module")
def engine(name, tmp_path_factory):
    folder = tmp_path_factory.mktemp(name)
    models = {"whisper": write_whisper, "onnx-asr": write_onnx_asr}
    model = models[name](folder / "model") if name in models else None
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("HEARTH_SCRIPT_STT", "turn on the light")
        engine = load_engine(Task.STT, name, EngineOptions(model=model, data_dir=folder, threads=1))
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def speech() -> Samples:
    pcm = Speaker()("Turn on the lights in the living room")
    pcm += bytes(16_000)
    return np.frombuffer(pcm, "<i2").astype(np.float32) / 32_768


def hear(engine: SttEngine, samples: Samples, *, pieces: int = 10, **request) -> SttResult:
    stream = engine.stream(SttRequest(**request))
    for piece in np.array_split(samples, pieces):
        stream.feed(piece)
    result = stream.finish()
    stream.close()
    return result


def test_words_are_heard(engine, speech):
    result = hear(engine, speech)
    assert "light" in result.text.lower()
    assert result.text == result.text.strip()


def test_same_audio_is_heard_the_same_however_it_is_cut(engine, speech):
    assert hear(engine, speech, pieces=3).text == hear(engine, speech, pieces=200).text


def test_silence_and_nothing_are_empty(engine):
    assert hear(engine, np.zeros(16_000, np.float32)).text == ""
    assert engine.stream(SttRequest()).finish().text == ""


def test_words_so_far_come_only_from_engines_that_say_so(engine, speech):
    stream = engine.stream(SttRequest())
    partials = [words for piece in np.array_split(speech, 50) if (words := stream.feed(piece)) is not None]
    stream.close()
    assert bool(partials) <= engine.supports_partials
    assert all(before != after for before, after in itertools.pairwise(partials))


def test_each_of_its_languages_is_taken(engine, speech):
    assert engine.languages
    assert len(set(engine.languages)) == len(engine.languages)
    for language in list(engine.languages)[:3]:
        engine.stream(SttRequest(language=language)).close()


def test_other_languages_are_refused(engine):
    with pytest.raises(RequestError, match="tlh") as refused:
        engine.stream(SttRequest(language="tlh"))
    assert refused.value.code == "unsupported-language"


def test_names_and_terms_are_taken_whatever_they_are(engine, speech):
    strange = ("Küche", "l'été", "灯", "🙂", "a" * 100, "", "50 % [x] <|y|>")
    assert "light" in hear(engine, speech, names=strange * 50, terms=strange).text.lower()


def test_stream_may_be_closed_at_any_time(engine, speech):
    engine.stream(SttRequest()).close()
    stream = engine.stream(SttRequest())
    stream.feed(speech)
    stream.close()
    stream.close()
    assert "light" in hear(engine, speech).text.lower()


def test_streams_know_nothing_of_each_other(engine, speech):
    alone = hear(engine, speech).text
    streams = [engine.stream(SttRequest()) for _ in range(3)]
    for piece in np.array_split(speech, 10):
        for stream in streams:
            stream.feed(piece)
    assert [stream.finish().text for stream in streams] == [alone] * 3
    for stream in streams:
        stream.close()


def test_as_many_threads_as_it_says_may_use_streams_of_their_own(engine, speech):
    assert engine.concurrency >= 1
    expected = hear(engine, speech).text
    texts: list[str] = []
    threads = [
        threading.Thread(target=lambda: texts.append(hear(engine, speech).text)) for _ in range(engine.concurrency)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert texts == [expected] * engine.concurrency


@pytest.mark.parametrize("samples", [1, 159, 512])
def test_less_than_a_word_is_no_fault(engine, samples):
    assert isinstance(hear(engine, np.full(samples, 0.1, np.float32), pieces=1), SttResult)


@pytest.mark.parametrize("level", [1e-6, 1e3])
def test_no_level_breaks_it(engine, level):
    noise = np.random.default_rng(1).standard_normal(16_000).astype(np.float32) * np.float32(level)
    assert isinstance(hear(engine, noise), SttResult)


def test_audio_is_left_as_it_was(engine, speech):
    copy = speech.copy()
    hear(engine, copy, pieces=1)
    assert np.array_equal(copy, speech)


@pytest.mark.parametrize("name", ["whisper", "onnx-asr"])
def test_damaged_model_is_refused_while_loading(name, tmp_path):
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError):
        load_engine(Task.STT, name, EngineOptions(model=tmp_path, data_dir=tmp_path))
