"""Cuts a VITS voice in two, so that sound can be had before a sentence is all rendered.

A voice is one network: text → frames (encoder, durations, flow) → samples (vocoder). The vocoder takes most of
the time and looks only a few frames to either side of the one it renders. Run on its own over a window
with that many frames around it, it gives the very samples it would have given in one go, so the first third of
a second is there after a fraction of the work. The cut is found by the network's shape, not by names, and is used
only if it is proven on the loaded voice; a voice that is built otherwise is rendered whole.
"""

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

_PASSED_THROUGH = {"LeakyRelu", "Add", "Mul", "Identity"}
"""What may stand between the vocoder's first convolution and its first upsampling."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitVoice:
    """The two halves of a voice, as ONNX files in memory."""

    encoder: bytes
    """Takes the voice's own inputs, gives frames of shape (1, channels, frames)."""
    vocoder: bytes
    """Takes `frames` and, where the voice has speakers, its `sid`."""
    frames: str
    """Name of the tensor between them."""
    vocoder_inputs: tuple[str, ...]
    """Inputs of the voice that the vocoder needs too."""
    hop_samples: int
    """Samples per frame."""
    margin_frames: int
    """How far the vocoder looks to either side."""


def split_voice(path: Path) -> SplitVoice | None:
    """Return the halves of the voice in a file, or None if it is not built as a VITS voice is."""
    model = onnx.load(path)
    graph = model.graph
    producers = {name: node for node in graph.node for name in node.output}
    if any(attribute.HasField("g") for node in graph.node for attribute in node.attribute) or not graph.output:
        return None
    frames = _find_cut(producers, graph.input[0].name)
    if frames is None:
        return None
    vocoder = _needed(producers, [graph.output[0].name], stop=frames)
    reach = _reach(vocoder, graph, frames)
    inputs = {item.name: item for item in graph.input}
    also = tuple(name for name in inputs if any(name in node.input for node in vocoder))
    if reach is None or not set(also) <= {"sid"}:
        return None
    between = helper.make_tensor_value_info(frames, TensorProto.FLOAT, [1, None, None])
    encoder_nodes = _needed(producers, [frames], stop="")
    return SplitVoice(
        encoder=_build(model, encoder_nodes, inputs.values(), [between]),
        vocoder=_build(model, vocoder, [between, *(inputs[name] for name in also)], [graph.output[0]]),
        frames=frames,
        vocoder_inputs=also,
        hop_samples=reach[1],
        margin_frames=math.ceil(reach[0]) + 1,
    )


def _find_cut(producers: Mapping[str, onnx.NodeProto], text: str) -> str | None:
    """Return the tensor that goes into the convolution before the first upsampling."""
    for node in producers.values():
        if node.op_type != "ConvTranspose":
            continue
        name: str | None = node.input[0]
        while name is not None:
            above = producers.get(name)
            if above is None or (above.op_type != "Conv" and above.op_type not in _PASSED_THROUGH):
                break
            if above.op_type == "Conv":
                return str(above.input[0])
            name = next((part for part in above.input if _depends(producers, part, text)), None)
    return None


def _depends(producers: Mapping[str, onnx.NodeProto], name: str, source: str) -> bool:
    return any(source in node.input for node in _needed(producers, [name], stop=""))


def _needed(producers: Mapping[str, onnx.NodeProto], names: Iterable[str], *, stop: str) -> list[onnx.NodeProto]:
    """Return the nodes that compute `names`, in the graph's order, up to the tensor `stop`."""
    wanted, todo = set[str](), list(names)
    while todo:
        name = todo.pop()
        if name == stop or name in wanted or name not in producers:
            continue
        wanted.update(producers[name].output)
        todo.extend(producers[name].input)
    seen: dict[int, onnx.NodeProto] = {
        id(node): node for node in producers.values() if any(name in wanted for name in node.output)
    }
    return list(seen.values())


def _reach(nodes: list[onnx.NodeProto], graph: onnx.GraphProto, frames: str) -> tuple[float, int] | None:
    """Return how many frames the vocoder looks to either side, and its samples per frame."""
    kernels = {item.name: list(item.dims)[-1] for item in graph.initializer if len(item.dims) == 3}
    known: dict[str, tuple[float, int]] = {frames: (0.0, 1)}
    for node in nodes:
        before = [known[name] for name in node.input if name in known]
        if not before:
            continue
        reach, scale = max(before)
        if node.op_type in {"Conv", "ConvTranspose"}:
            attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
            kernel = (attributes.get("kernel_shape") or [kernels.get(node.input[1], 0)])[0]
            if not kernel:
                return None
            if node.op_type == "Conv":
                reach += attributes.get("dilations", [1])[0] * (kernel - 1) / 2 / scale
            else:
                stride = attributes.get("strides", [1])[0]
                reach, scale = reach + kernel / stride / scale, scale * stride
        known.update(dict.fromkeys(node.output, (reach, scale)))
    return known.get(graph.output[0].name)


def _build(model: onnx.ModelProto, nodes: list[onnx.NodeProto], inputs: Iterable[Any], outputs: Iterable[Any]) -> bytes:
    read = {name for node in nodes for name in node.input}
    weights = [item for item in model.graph.initializer if item.name in read]
    graph = helper.make_graph(nodes, "part", list(inputs), list(outputs), weights)
    part = helper.make_model(graph, opset_imports=model.opset_import, ir_version=model.ir_version)
    return bytes(part.SerializeToString())
