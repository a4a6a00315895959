"""What every speech synthesiser promises in `engines/base.py`."""

import threading
import time

import numpy as np
import pytest

from tests.support.piper_voice import write_piper_voice
from wyoming_servers.engines.base import EngineOptions, TtsEngine, TtsRequest
from wyoming_servers.engines.table import TABLE, Task, load_engine
from wyoming_servers.errors import RequestError

SENTENCE = "The kitchen light is on."
LONG = "The kitchen light is on and so is every other lamp in the house. " * 40


@pytest.fixture(scope="module", params=list(TABLE[Task.TTS]))
def engine(request, tmp_path_factory) -> TtsEngine:
    model = write_piper_voice(tmp_path_factory.mktemp("voice"), speakers=2) if request.param == "piper" else None
    engine = load_engine(Task.TTS, request.param, EngineOptions(model=model))
    yield engine
    engine.close()


def say(engine: TtsEngine, text: str, **request) -> np.ndarray:
    pieces = list(engine.synthesize(TtsRequest(text=text, **request)))
    return np.concatenate(pieces) if pieces else np.zeros(0, np.float32)


def test_rate_is_one_that_players_know(engine):
    assert 8_000 <= engine.sample_rate_hz <= 48_000
    assert engine.concurrency >= 1


def test_voices_have_names_of_their_own_and_languages(engine):
    names = [voice.name for voice in engine.voices]
    assert names
    assert len(set(names)) == len(names)
    assert all(voice.languages for voice in engine.voices)
    assert not any("/" in name or "\\" in name or name.startswith(".") for name in names)


def test_sound_is_mono_floats_within_full_scale_and_not_silent(engine):
    pieces = list(engine.synthesize(TtsRequest(text=SENTENCE)))
    assert all(piece.dtype == np.float32 and piece.ndim == 1 and piece.size for piece in pieces)
    sound = np.concatenate(pieces)
    assert np.isfinite(sound).all()
    assert 0.05 < np.abs(sound).max() <= 1.0


def test_a_longer_text_takes_longer_to_say(engine):
    assert say(engine, f"{SENTENCE} {SENTENCE} {SENTENCE}").size > 2 * say(engine, SENTENCE).size


@pytest.mark.parametrize("text", ["", " ", "\n", "...", "?!", "-", "\u200b", "\u200d\u200c", "🙂", "(\u00a0)"])
def test_what_cannot_be_pronounced_yields_nothing(engine, text):
    assert say(engine, text).size == 0


@pytest.mark.parametrize(
    "text", ["€5", "[[nonsense", "a" * 500, "你好", "<speak>hi</speak>", "%s %n \\0", "na\u0308ive"]
)
def test_odd_texts_are_no_failure(engine, text):
    assert np.isfinite(say(engine, text)).all()


@pytest.mark.parametrize(
    "voice", ["nobody", "", "../../etc/passwd", "/etc/passwd", "file:///etc/passwd", "en-us\0", "!v/f2"]
)
def test_unknown_voice_is_refused(engine, voice):
    with pytest.raises(RequestError) as caught:
        say(engine, SENTENCE, voice=voice)
    assert caught.value.code == "unknown-voice"


def test_unknown_speaker_is_refused(engine):
    with pytest.raises(RequestError) as caught:
        say(engine, SENTENCE, speaker="nobody")
    assert caught.value.code == "unknown-speaker"


def test_first_voices_and_all_their_speakers_speak(engine):
    for voice in engine.voices[:5]:
        for speaker in (None, *voice.speakers):
            assert say(engine, SENTENCE, voice=voice.name, speaker=speaker).size


def test_default_voice_is_the_first(engine):
    first = engine.voices[0].name
    assert say(engine, SENTENCE).size == pytest.approx(say(engine, SENTENCE, voice=first).size, rel=0.02)


def test_in_a_hurry_no_word_is_left_out(engine):
    calm, hurried = (say(engine, SENTENCE, is_hurried=is_hurried) for is_hurried in (False, True))
    assert hurried.size == pytest.approx(calm.size, rel=0.25)


def test_long_text_comes_in_pieces(engine):
    pieces = list(engine.synthesize(TtsRequest(text=LONG)))
    assert len(pieces) > 5
    assert max(piece.size for piece in pieces) < 40 * engine.sample_rate_hz


def test_an_iterator_that_is_closed_yields_no_more(engine):
    sounds = engine.synthesize(TtsRequest(text=LONG))
    next(sounds)
    began = time.monotonic()
    sounds.close()
    assert time.monotonic() - began < 1
    assert list(sounds) == []
    assert say(engine, SENTENCE).size


def test_iterators_side_by_side_do_not_mix(engine):
    other = engine.voices[-1].name
    alone = [say(engine, LONG, voice=None).size, say(engine, LONG, voice=other).size]
    one, two = (engine.synthesize(TtsRequest(text=LONG, voice=voice)) for voice in (None, other))
    sizes = [0, 0]
    for first, second in zip(one, two, strict=False):
        sizes[0] += first.size
        sizes[1] += second.size
    sizes[0] += sum(piece.size for piece in one)
    sizes[1] += sum(piece.size for piece in two)
    assert sizes == pytest.approx(alone, rel=0.05)


def test_as_many_threads_as_it_allows_get_their_own_sound(engine):
    expected = say(engine, SENTENCE).size
    sizes: list[int] = []

    def speak() -> None:
        sizes.extend(say(engine, SENTENCE).size for _ in range(3))

    threads = [threading.Thread(target=speak) for _ in range(engine.concurrency)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sizes == pytest.approx([expected] * 3 * engine.concurrency, rel=0.02)
