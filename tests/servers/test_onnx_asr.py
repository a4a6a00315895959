"""OnnxAsrStt on a tiny real NeMo-style CTC model; transducers and attention decoders are onnx-asr's own affair."""

import json
import shutil

import numpy as np
import pytest

from wyoming_servers.engines.base import EngineOptions, SttRequest
from wyoming_servers.errors import ModelError, RequestError

pytest.importorskip("onnx_asr", reason="the extra 'onnx-asr' is not installed")
pytest.importorskip("onnx")

import onnx
from onnx import TensorProto, helper

from wyoming_servers.engines.stt.onnx_asr import OnnxAsrStt

SENTENCE = "turn on the light"
BLANK = len(SENTENCE)


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """A model that spells the sentence, one letter a frame, then blanks."""
    folder = tmp_path_factory.mktemp("onnx-asr")
    letters = sorted(set(SENTENCE))
    tokens = [*(letter.replace(" ", "\u2581") for letter in letters), "<blk>"]
    (folder / "vocab.txt").write_text("".join(f"{token} {index}\n" for index, token in enumerate(tokens)))
    (folder / "config.json").write_text(json.dumps({"model_type": "nemo-conformer-ctc", "features_size": 80}))
    logprobs = np.full((1, 500, len(tokens)), -20, np.float32)
    for frame in range(500):
        spelled = letters.index(SENTENCE[frame // 2]) if frame % 2 == 0 and frame // 2 < len(SENTENCE) else -1
        logprobs[0, frame, spelled] = 0
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["length"], ["total"], keepdims=0),
            helper.make_node("Constant", [], ["all"], value=onnx.numpy_helper.from_array(logprobs)),
            helper.make_node("Identity", ["all"], ["logprobs"]),
            helper.make_node("ReduceMean", ["audio_signal"], ["heard"], keepdims=0),
        ],
        "spells",
        [
            helper.make_tensor_value_info("audio_signal", TensorProto.FLOAT, [None, 80, None]),
            helper.make_tensor_value_info("length", TensorProto.INT64, [None]),
        ],
        [
            helper.make_tensor_value_info("logprobs", TensorProto.FLOAT, [1, 500, len(tokens)]),
            helper.make_tensor_value_info("heard", TensorProto.FLOAT, []),
            helper.make_tensor_value_info("total", TensorProto.INT64, []),
        ],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=9)
    onnx.checker.check_model(model)
    onnx.save(model, folder / "model.onnx")
    return folder


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
