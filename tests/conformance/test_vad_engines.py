"""What every voice activity detector promises in `engines/base.py`."""

import threading

import numpy as np
import pytest

from tests.support.speaker import Speaker
from wyoming_servers.engines.base import WINDOW_SAMPLES, EngineOptions, Samples, VadEngine
from wyoming_servers.engines.table import TABLE, Task, load_engine


@pytest.fixture(scope="module", params=list(TABLE[Task.VAD]))
def engine(request):
    engine = load_engine(Task.VAD, request.param, EngineOptions())
    yield engine
    engine.close()


@pytest.fixture(scope="module")
def speech() -> Samples:
    """Half a second of silence, then words, in a quiet room."""
    pcm = Speaker()("Turn on the lights in the living room")
    words = np.frombuffer(pcm, "<i2").astype(np.float32) / 32_768
    return words + room(words.size / 16_000)


def room(seconds: float) -> Samples:
    return (np.random.default_rng(1).standard_normal(round(16_000 * seconds)) * 0.001).astype(np.float32)


def hear(engine: VadEngine, samples: Samples) -> list[float]:
    stream = engine.stream()
    starts = range(0, samples.size - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)
    return [stream.probability(samples[start : start + WINDOW_SAMPLES]) for start in starts]


def test_probabilities_are_probabilities(engine, speech):
    heard = hear(engine, speech)
    assert all(type(probability) is float and 0 <= probability <= 1 for probability in heard)


def test_words_are_speech_and_the_room_is_not(engine, speech):
    heard = np.array(hear(engine, np.concatenate([speech, room(2)])))
    words = heard[20 : speech.size // WINDOW_SAMPLES - 6]
    assert np.mean(words >= 0.5) > 0.75
    assert not np.any(heard[2:12] >= 0.5)
    assert not np.any(heard[-50:] >= 0.5)


def test_digital_silence_is_no_speech(engine):
    assert max(hear(engine, np.zeros(32_000, np.float32))) < 0.5


def test_same_audio_is_heard_the_same(engine, speech):
    assert hear(engine, speech) == hear(engine, speech)


def test_streams_know_nothing_of_each_other(engine, speech):
    alone = hear(engine, speech)
    others, mine = [], []
    stream, other = engine.stream(), engine.stream()
    for start in range(0, speech.size - WINDOW_SAMPLES + 1, WINDOW_SAMPLES):
        mine.append(stream.probability(speech[start : start + WINDOW_SAMPLES]))
        others.append(other.probability(speech[-WINDOW_SAMPLES:]))
    assert mine == alone


def test_window_is_left_as_it_was(engine, speech):
    window = speech[:WINDOW_SAMPLES].copy()
    engine.stream().probability(window)
    assert np.array_equal(window, speech[:WINDOW_SAMPLES])


def test_threads_may_use_streams_of_their_own(engine, speech):
    expected = hear(engine, speech)
    results: list[list[float]] = []
    threads = [threading.Thread(target=lambda: results.append(hear(engine, speech))) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert results == [expected] * 4


@pytest.mark.parametrize("level", [1.0, 1e-30, 1e6])
def test_no_level_breaks_it(engine, level):
    heard = hear(engine, room(1) * np.float32(level))
    assert all(0 <= probability <= 1 for probability in heard)
