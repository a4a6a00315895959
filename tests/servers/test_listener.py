"""Which part of an utterance an engine hears, and what takes over when a detector fails."""

import logging

import numpy as np
import pytest

from wyoming_servers.engines.base import WINDOW_SAMPLES, EngineOptions, Samples
from wyoming_servers.engines.scripted import ScriptedVad
from wyoming_servers.engines.vad.energy import EnergyVad
from wyoming_servers.engines.vad.silero import SileroVad
from wyoming_servers.engines.vad.steady import SteadyVad, load_vad
from wyoming_servers.errors import ModelError
from wyoming_servers.speech.audio import AudioFormat, to_pcm
from wyoming_servers.speech.endpointing import Sensitivity, SpeechStarted, TurnEnd, TurnEnded
from wyoming_servers.workers.listener import LEAD_MS, TRAIL_MS, WINDOW_MS, Listener

FORMAT = AudioFormat(rate_hz=16_000, width_bytes=2, channels=1)


def quiet(milliseconds: float) -> Samples:
    return np.zeros(round(milliseconds * 16), np.float32)


def loud(milliseconds: float, level: float = 0.3) -> Samples:
    times = np.arange(round(milliseconds * 16)) / 16_000
    return (level * np.sin(2 * np.pi * 440 * times)).astype(np.float32)


def listen(*parts: Samples, chunk_bytes: int = 320, ends: bool = False, sensitivity: Sensitivity = Sensitivity.DEFAULT):
    """Return the decisions and the audio for the engine."""
    listener = Listener(ScriptedVad().stream(), FORMAT, sensitivity)
    pcm = to_pcm(np.concatenate(parts))
    heard = [listener.hear(pcm[at : at + chunk_bytes]) for at in range(0, len(pcm), chunk_bytes)]
    if ends:
        heard.append(listener.finish())
    speech = [samples for each in heard for samples in each.speech]
    decisions = [decision for each in heard for decision in each.decisions]
    return decisions, np.concatenate(speech) if speech else quiet(0)


@pytest.mark.parametrize("chunk_bytes", [2, 320, 1_022, 100_000])
def test_engine_hears_the_words_with_a_little_before_and_after(chunk_bytes):
    decisions, speech = listen(quiet(1_600), loud(960), quiet(1_600), chunk_bytes=chunk_bytes)
    assert decisions == [SpeechStarted(at_ms=1_600), TurnEnded(reason=TurnEnd.SILENCE, at_ms=2_560)]
    first, last = np.flatnonzero(speech)[[0, -1]] / 16
    assert LEAD_MS - WINDOW_MS <= first <= LEAD_MS + WINDOW_MS
    assert last - first == pytest.approx(960, abs=1)
    assert speech.size / 16 - last == pytest.approx(TRAIL_MS, abs=WINDOW_MS)


def test_pause_within_a_turn_is_heard_whole():
    _, speech = listen(quiet(640), loud(640), quiet(640), loud(640), quiet(1_600), sensitivity=Sensitivity.RELAXED)
    first, last = np.flatnonzero(speech)[[0, -1]] / 16
    assert last - first == pytest.approx(3 * 640, abs=1)


def test_speech_at_once_has_no_lead():
    _, speech = listen(loud(960), quiet(960))
    assert np.flatnonzero(speech)[0] < 16


def test_long_silence_before_the_words_is_not_for_the_engine():
    _, speech = listen(quiet(6_400), loud(320), quiet(960))
    assert speech.size / 16 < 320 + LEAD_MS + TRAIL_MS + 2 * WINDOW_MS


def test_last_sound_of_a_client_that_ends_its_audio_is_heard():
    decisions, speech = listen(quiet(320), loud(330), ends=True)
    assert decisions[-1] == TurnEnded(reason=TurnEnd.AUDIO_STOPPED, at_ms=672)
    assert np.count_nonzero(speech) / 16 == pytest.approx(330, abs=2)


def test_word_that_the_clients_end_cuts_is_heard():
    _, speech = listen(loud(640), quiet(224), loud(32), ends=True)
    assert np.count_nonzero(speech) / 16 == pytest.approx(672, abs=8)


def test_silence_is_not_for_the_engine():
    decisions, speech = listen(quiet(3_200), ends=True)
    assert decisions == [TurnEnded(reason=TurnEnd.AUDIO_STOPPED, at_ms=3_200)]
    assert speech.size == 0


class FailingVad:
    """A detector whose native code gives up after some windows."""

    def __init__(self, windows: int) -> None:
        self.left = windows

    def stream(self):
        if self.left < 0:
            raise MemoryError
        return self

    def probability(self, window: Samples) -> float:
        self.left -= 1
        if self.left < 0:
            raise RuntimeError("no such node")
        return 0.0

    def close(self) -> None:
        pass


@pytest.mark.parametrize("windows", [-1, 0, 20])
def test_failing_detector_is_replaced_and_words_are_still_found(windows, caplog):
    vad = SteadyVad(FailingVad(windows))
    with caplog.at_level(logging.WARNING):
        for _ in range(2):
            stream = vad.stream()
            audio = np.concatenate([quiet(960) + loud(960, 0.001), loud(640)])
            starts = range(0, audio.size, WINDOW_SAMPLES)
            heard = [stream.probability(audio[at : at + WINDOW_SAMPLES]) for at in starts]
            assert max(heard[:30]) < 0.5
            assert min(heard[30:]) > 0.9
    assert len(caplog.records) == 1
    assert "the level decides instead" in caplog.text


def test_working_detector_is_left_alone(caplog):
    vad = SteadyVad(SileroVad(EngineOptions()))
    assert vad.stream().probability(loud(32)) == SileroVad(EngineOptions()).stream().probability(loud(32))
    vad.close()
    assert not caplog.records


def test_damaged_model_leaves_the_level_to_decide(tmp_path, caplog):
    model = tmp_path / "silero.onnx"
    model.write_bytes(b"no model")
    with pytest.raises(ModelError, match=r"silero\.onnx is not an ONNX model"):
        SileroVad(EngineOptions(model=model))
    with caplog.at_level(logging.WARNING):
        assert isinstance(load_vad(EngineOptions(model=model)), EnergyVad)
    assert "by its level alone" in caplog.text


def test_other_networks_are_refused(tmp_path):
    onnx = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    graph = helper.make_graph(
        [helper.make_node("Identity", ["input"], ["output"])],
        "other",
        [helper.make_tensor_value_info("input", kind, [1, 512])],
        [helper.make_tensor_value_info("output", kind, [1, 512])],
    )
    model = tmp_path / "other.onnx"
    onnx.save(helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9), model)
    with pytest.raises(ModelError, match="not a Silero VAD model"):
        SileroVad(EngineOptions(model=model))


def test_steady_noise_is_no_speech_after_two_seconds():
    stream = EnergyVad(EngineOptions()).stream()
    noise = (np.random.default_rng(1).standard_normal(16_000 * 4) * 0.05).astype(np.float32)
    heard = [stream.probability(noise[at : at + WINDOW_SAMPLES]) for at in range(0, noise.size - 512, WINDOW_SAMPLES)]
    assert max(heard[64:]) < 0.5
