"""OnnxAsrStt on a tiny real NeMo-style CTC model; transducers and attention decoders are onnx-asr's own affair."""

import shutil

import numpy as np
import pytest

from wyoming_servers.engines.base import EngineOptions, SttRequest
from wyoming_servers.errors import ModelError, RequestError

pytest.importorskip("onnx_asr", reason="the extra 'onnx-asr' is not installed")
pytest.importorskip("onnx")

from tests.support.onnx_asr_model import SENTENCE, write_onnx_asr
from wyoming_servers.engines.stt.onnx_asr import OnnxAsrStt


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return write_onnx_asr(tmp_path_factory.mktemp("onnx-asr"))


def hear(engine: OnnxAsrStt, audio: np.ndarray, language: str | None = None):
    stream = engine.stream(SttRequest(language=language))
    for block in np.array_split(audio, 20):
        assert stream.feed(block) is None
    return stream.finish()


def noise(seconds: float) -> np.ndarray:
    return (np.random.default_rng(1).standard_normal(int(16_000 * seconds)) * 0.1).astype(np.float32)


def test_transcribes_in_the_households_language(folder):
    engine = OnnxAsrStt(EngineOptions(model=folder, language="en"))
    result = hear(engine, noise(4), "en-US")
    assert (result.text, result.language) == (SENTENCE, "en-US")
    with pytest.raises(RequestError, match="'de'"):
        engine.stream(SttRequest(language="de"))
    engine.close()


def test_silence_is_not_decoded(folder):
    assert hear(OnnxAsrStt(EngineOptions(model=folder)), np.zeros(16_000, np.float32)).text == ""


@pytest.mark.parametrize("name", ["config.json", "vocab.txt", "model.onnx"])
def test_missing_file_is_named(folder, tmp_path, name):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / name).unlink()
    with pytest.raises(ModelError, match=name):
        OnnxAsrStt(EngineOptions(model=copy))


@pytest.mark.parametrize(
    ("config", "said"),
    [('{"model_type": "someone/else"}', "knows no model type"), ("[]", "model's type"), ("{", "model's type")],
)
def test_unknown_type_is_refused_without_asking_a_hub(folder, tmp_path, config, said):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "config.json").write_text(config)
    with pytest.raises(ModelError, match=said):
        OnnxAsrStt(EngineOptions(model=copy))


def test_damaged_model_is_refused(folder, tmp_path):
    copy = shutil.copytree(folder, tmp_path / "copy")
    (copy / "model.onnx").write_bytes(b"\0" * 100)
    with pytest.raises(ModelError, match="cannot be loaded"):
        OnnxAsrStt(EngineOptions(model=copy))


def test_no_model_is_refused():
    with pytest.raises(ModelError, match="needs a model"):
        OnnxAsrStt(EngineOptions())
