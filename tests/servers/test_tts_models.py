"""Engines of speech synthesis: which voice speaks for a language, and which files are refused."""

import json

import numpy as np
import pytest

from tests.support.piper_voice import FRAMES_PER_ID, RATE_HZ, write_piper_voice
from wyoming_servers.engines.base import EngineOptions, TtsRequest
from wyoming_servers.engines.tts.espeak import EspeakTts
from wyoming_servers.engines.tts.piper import PiperTts
from wyoming_servers.engines.tts.vits import split_voice
from wyoming_servers.errors import ModelError

SENTENCE = "The kitchen light is on, and the garage door is closed."


@pytest.mark.parametrize(
    ("language", "voice"),
    [
        ("en", "en-us"),
        ("en-US", "en-us"),
        ("en-GB", "en"),
        ("en_GB", "en"),
        ("de", "de"),
        ("de-CH", "de"),
        ("pt-BR", "pt-br"),
        ("fr-CA", "fr"),
        ("zh-CN", "cmn"),
        ("no", "nb"),
        ("tlh", "en-us"),
    ],
)
def test_espeak_speaks_the_language_of_the_household(language, voice):
    assert EspeakTts(EngineOptions(language=language)).voices[0].name == voice


def test_espeak_says_the_same_text_differently_in_another_language():
    engine = EspeakTts(EngineOptions())
    lengths = {
        voice: sum(map(len, engine.synthesize(TtsRequest(text="Garage", voice=voice)))) for voice in ("de", "fr")
    }
    assert lengths["de"] != lengths["fr"]


def test_piper_speaks_all_of_a_text(tmp_path):
    engine = PiperTts(EngineOptions(model=write_piper_voice(tmp_path)))
    seconds = sum(piece.size for piece in engine.synthesize(TtsRequest(text=SENTENCE))) / RATE_HZ
    # About 55 phonemes in two clauses, and two ids for each phoneme.
    assert seconds == pytest.approx(118 * FRAMES_PER_ID * 256 / RATE_HZ, rel=0.15)


def test_piper_windows_give_the_samples_of_the_whole(tmp_path, monkeypatch):
    path = write_piper_voice(tmp_path, speakers=2)
    text = TtsRequest(text="The kitchen light is on and the garage door is closed", speaker="speaker1")
    windows = list(PiperTts(EngineOptions(model=path)).synthesize(text))
    monkeypatch.setattr("wyoming_servers.engines.tts.piper._split", lambda _path: None)
    whole = list(PiperTts(EngineOptions(model=path)).synthesize(text))
    assert len(windows) > 2
    assert len(whole) == 1
    joined = np.concatenate(windows)
    assert joined.shape == whole[0].shape
    # Loudness settles as louder sound is met, so shapes are compared window by window.
    start = 0
    for window in windows:
        part = whole[0][start : start + window.size]
        start += window.size
        assert np.allclose(window / np.abs(window).max(), part / np.abs(part).max(), atol=1e-3)


def test_flow_and_vocoder_are_told_apart(tmp_path):
    split = split_voice(write_piper_voice(tmp_path, speakers=2))
    assert split is not None
    flow, vocoder = split.stages
    assert (flow.scale, flow.inputs) == (1, ())
    assert len(flow.sources) == 2  # the prior and the mask
    assert (vocoder.scale, vocoder.inputs) == (256, ("sid",))


def test_a_voice_that_cannot_be_cut_is_rendered_whole(tmp_path):
    path = write_piper_voice(tmp_path, is_unsplittable=True)
    assert split_voice(path) is not None  # it looks as if it could
    pieces = list(PiperTts(EngineOptions(model=path)).synthesize(TtsRequest(text="The garage door is closed")))
    assert len(pieces) == 1
    assert np.abs(pieces[0]).max() > 0.1


def test_piper_takes_a_folder_with_one_voice(tmp_path):
    write_piper_voice(tmp_path, name="de_DE-klein-low")
    (voice,) = PiperTts(EngineOptions(model=tmp_path)).voices
    assert voice.name == "de_DE-klein-low"
    assert voice.languages == ("de-DE", "de")


def test_piper_refuses_a_folder_with_two_voices(tmp_path):
    write_piper_voice(tmp_path, name="de_DE-a-low")
    write_piper_voice(tmp_path, name="de_DE-b-low")
    with pytest.raises(ModelError, match="exactly one"):
        PiperTts(EngineOptions(model=tmp_path))


def test_piper_needs_a_voice():
    with pytest.raises(ModelError, match="--model"):
        PiperTts(EngineOptions())


def test_piper_says_that_settings_are_missing(tmp_path):
    path = write_piper_voice(tmp_path)
    settings = path.with_name(f"{path.name}.json")
    settings.unlink()
    with pytest.raises(ModelError, match="missing") as caught:
        PiperTts(EngineOptions(model=path))
    assert settings.name in str(caught.value)


@pytest.mark.parametrize("text", ["", "{", "[]", "null", "{}", '{"audio": 5}', "[" * 100_000, "\udcff"])
def test_piper_refuses_damaged_settings(tmp_path, text):
    path = write_piper_voice(tmp_path)
    path.with_name(f"{path.name}.json").write_bytes(text.encode("utf-8", "surrogateescape"))
    with pytest.raises(ModelError):
        PiperTts(EngineOptions(model=path))


@pytest.mark.parametrize(
    "change",
    [
        {"audio": {"sample_rate": 0}},
        {"audio": {"sample_rate": "fast"}},
        {"audio": {"sample_rate": 1_000_000}},
        {"num_speakers": 0},
        {"phoneme_type": "telepathy"},
        {"phoneme_type": "pinyin"},
        {"phoneme_id_map": 7},
    ],
)
def test_piper_refuses_settings_that_cannot_be(tmp_path, change):
    path = write_piper_voice(tmp_path)
    settings = path.with_name(f"{path.name}.json")
    settings.write_text(json.dumps({**json.loads(settings.read_text()), **change}))
    with pytest.raises(ModelError):
        PiperTts(EngineOptions(model=path))


@pytest.mark.parametrize("keep", [0, 100, 20_000])
def test_piper_refuses_a_damaged_model(tmp_path, keep):
    path = write_piper_voice(tmp_path)
    path.write_bytes(path.read_bytes()[:keep])
    with pytest.raises(ModelError, match=r"^The voice's .*[.]$"):
        PiperTts(EngineOptions(model=path))


def test_piper_refuses_a_file_that_is_no_model(tmp_path):
    path = write_piper_voice(tmp_path)
    path.write_bytes(b"#!/bin/sh\necho hello\n" * 50)
    with pytest.raises(ModelError, match="damaged"):
        PiperTts(EngineOptions(model=path))
