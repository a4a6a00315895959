"""Makes a tiny, real NeMo-style CTC model for onnx-asr that spells one sentence, whatever it hears."""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper

SENTENCE = "turn on the light"


def write_onnx_asr(folder: Path) -> Path:
    """Write a model folder and return it: one letter every other frame, then blanks."""
    folder.mkdir(parents=True, exist_ok=True)
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
