"""Makes a tiny, real Piper voice: a network with every part of a VITS voice, and the settings beside it.

Its sound is noise shaped by random weights, but its length is exact: `FRAMES_PER_ID` frames for each phoneme id.
"""

import json
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper
from piper.phoneme_ids import DEFAULT_PHONEME_ID_MAP

RATE_HZ = 16_000
FRAMES_PER_ID = 2
_WIDTH = 8
_SYMBOLS = 256
_UPSAMPLING = ((8, 16), (8, 16), (4, 8))


def write_piper_voice(
    folder: Path, *, name: str = "en_US-tiny-low", speakers: int = 1, seed: int = 0, is_unsplittable: bool = False
) -> Path:
    """Write NAME.onnx and NAME.onnx.json and return the first.

    With `is_unsplittable` each sample depends on all others, so the voice cannot be rendered in windows.
    """
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.onnx"
    onnx.save(_Network(seed).build(speakers, is_unsplittable=is_unsplittable), path)
    settings = {
        "audio": {"sample_rate": RATE_HZ, "quality": "low"},
        "espeak": {"voice": "en-us"},
        "inference": {"noise_scale": 0.0, "length_scale": 1.0, "noise_w": 0.0},
        "phoneme_type": "espeak",
        "phoneme_id_map": {symbol: list(ids) for symbol, ids in DEFAULT_PHONEME_ID_MAP.items()},
        "num_symbols": _SYMBOLS,
        "num_speakers": speakers,
        "speaker_id_map": {f"speaker{index}": index for index in range(speakers)} if speakers > 1 else {},
        "language": {"code": name.partition("-")[0]},
    }
    path.with_name(f"{path.name}.json").write_text(json.dumps(settings), encoding="utf-8")
    return path


class _Network:
    """Collects nodes and weights; each part returns the name of its output."""

    def __init__(self, seed: int) -> None:
        self._nodes: list[onnx.NodeProto] = []
        self._weights: list[onnx.TensorProto] = []
        self._rng = np.random.default_rng(seed)

    def build(self, speakers: int, *, is_unsplittable: bool) -> onnx.ModelProto:
        noise_scale, length_scale, _ = self._several("Split", "scales", outputs=3, axis=0)
        x = self._add("Transpose", self._add("Gather", self._noise(_SYMBOLS, _WIDTH, std=1.0), "input"), perm=[0, 2, 1])
        x = self._add("Relu", self._convolve(x, _WIDTH, 3))
        index = self._frame_index(length_scale)
        # Trained voices carry such a mask through the flow: all ones, but computed from the text's length.
        mask = self._add("Cast", self._add("Equal", index, index), to=TensorProto.FLOAT)
        mask = self._add("Unsqueeze", mask, self._constant([0, 1]))
        x = self._add("Gather", x, index, axis=2)
        x = self._add("Add", x, self._add("Mul", self._add("RandomNormalLike", x), noise_scale))
        x = self._add("Add", x, self._convolve(self._add("Mul", self._add("Tanh", x), mask), _WIDTH, 5))
        x = self._add("Mul", x, mask)
        x = self._convolve(x, _WIDTH, 7)
        if speakers > 1:
            chosen = self._add("Gather", self._noise(speakers, _WIDTH, std=2.0), "sid")
            x = self._add("Add", x, self._add("Unsqueeze", chosen, self._constant([2])))
        for rate, kernel in _UPSAMPLING:
            weight, pad = self._noise(_WIDTH, _WIDTH, kernel, std=0.15), (kernel - rate) // 2
            x = self._add("LeakyRelu", x, alpha=0.1)
            x = self._add("ConvTranspose", x, weight, kernel_shape=[kernel], strides=[rate], pads=[pad, pad])
            x = self._add("Add", x, self._convolve(self._add("LeakyRelu", x, alpha=0.1), _WIDTH, 3, dilation=3))
        if is_unsplittable:
            x = self._add("Mul", x, self._add("ReduceMax", x, axes=[2], keepdims=1))
        samples = self._add("Tanh", self._convolve(x, 1, 7))
        self._nodes.append(helper.make_node("Unsqueeze", [samples, self._constant([1])], ["output"]))
        return self._model(speakers)

    def _frame_index(self, length_scale: str) -> str:
        """Return, for each frame, the index of its phoneme id."""
        per_id = self._add("Mul", self._add("Squeeze", length_scale), self._constant(FRAMES_PER_ID, np.float32))
        ids = self._add("Cast", self._add("Squeeze", "input_lengths"), to=TensorProto.FLOAT)
        zero, one = self._constant(0.0, np.float32), self._constant(1.0, np.float32)
        steps = self._add("Range", zero, self._add("Floor", self._add("Mul", ids, per_id)), one)
        return self._add("Cast", self._add("Div", steps, per_id), to=TensorProto.INT64)

    def _model(self, speakers: int) -> onnx.ModelProto:
        shapes: dict[str, tuple[int, list[int | str]]] = {
            "input": (TensorProto.INT64, [1, "phonemes"]),
            "input_lengths": (TensorProto.INT64, [1]),
            "scales": (TensorProto.FLOAT, [3]),
        }
        if speakers > 1:
            shapes["sid"] = (TensorProto.INT64, [1])
        inputs = [helper.make_tensor_value_info(name, kind, shape) for name, (kind, shape) in shapes.items()]
        output = helper.make_tensor_value_info("output", TensorProto.FLOAT, [1, 1, 1, "time"])
        graph = helper.make_graph(self._nodes, "voice", inputs, [output], self._weights)
        return helper.make_model(graph, opset_imports=[helper.make_opsetid("", 17)], ir_version=8)

    def _convolve(self, x: str, out: int, kernel: int, *, dilation: int = 1) -> str:
        weight = self._noise(out, _WIDTH, kernel, std=0.5 * (_WIDTH * kernel) ** -0.5)
        pad = dilation * (kernel - 1) // 2
        return self._add("Conv", x, weight, kernel_shape=[kernel], dilations=[dilation], pads=[pad, pad])

    def _several(self, kind: str, *inputs: str, outputs: int, **attributes: object) -> list[str]:
        names = [f"t{len(self._nodes)}_{index}" for index in range(outputs)]
        self._nodes.append(helper.make_node(kind, inputs, names, **attributes))
        return names

    def _add(self, kind: str, *inputs: str, **attributes: object) -> str:
        return self._several(kind, *inputs, outputs=1, **attributes)[0]

    def _constant(self, value: object, kind: type = np.int64) -> str:
        name = f"w{len(self._weights)}"
        self._weights.append(numpy_helper.from_array(np.array(value, kind), name))
        return name

    def _noise(self, *shape: int, std: float) -> str:
        return self._constant(self._rng.standard_normal(shape) * std, np.float32)
