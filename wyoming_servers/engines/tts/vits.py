"""Cuts a VITS voice into stages, so that sound can be had before a sentence is all rendered.

A voice is one network: text → prior (encoder, durations, noise) → frames (flow) → samples (vocoder). Flow and
vocoder take nearly all of the time and look only some frames to either side of the one they work on. Run on their
own over a window with that many frames around it, they give the very values they would have given in one go, so
the first half second is there after a fraction of the work. The cuts are found by the network's shape, not by
names, and whoever uses them proves them on the loaded voice: one that is built otherwise is rendered whole.
"""

import math
from collections.abc import Iterable
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import onnx
from onnx import TensorProto, helper

_PASSED_THROUGH = {"LeakyRelu", "Add", "Mul", "Identity"}
"""What may stand between the vocoder's first convolution and its first upsampling."""
_NOISE = {"RandomNormalLike", "RandomNormal"}
_CONSTANT_ALONG_TIME = {"sid"}
"""Inputs a stage may have of its own: the speaker is the same in every window."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Stage:
    """A part of a voice that can be run over windows of time."""

    model: bytes
    """An ONNX file in memory, with one output."""
    sources: tuple[str, ...]
    """Its inputs along time, of shape (1, channels, frames), what it transforms first."""
    inputs: tuple[str, ...]
    """Inputs of the voice itself that it needs too."""
    margin_frames: int
    """How far it looks to either side."""
    scale: int
    """Values that it gives per frame."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SplitVoice:
    """A voice in stages."""

    encoder: bytes
    """Takes the voice's own inputs, gives `outputs`."""
    outputs: tuple[str, ...]
    stages: tuple[Stage, ...]
    """Flow, where it can be told apart, and vocoder."""


def split_voice(path: Path) -> SplitVoice | None:
    """Return the stages of the voice in a file, or None if it is not built as a VITS voice is."""
    graph = _Graph(onnx.load(path))
    if any(attribute.HasField("g") for node in graph.nodes for attribute in node.attribute) or not graph.outputs:
        return None
    frames = graph.find_frames()
    vocoder = graph.stage(frames, graph.outputs[0].name) if frames else None
    if frames is None or vocoder is None or len(vocoder.sources) > 1:
        return None
    prior = graph.find_prior(frames)
    flow = graph.stage(prior, frames) if prior else None
    if prior is None or flow is None or flow.scale != 1 or graph.depend_on(flow.sources[1:], prior):
        return SplitVoice(encoder=graph.build([frames]), outputs=(frames,), stages=(vocoder,))
    return SplitVoice(encoder=graph.build(flow.sources), outputs=flow.sources, stages=(flow, vocoder))


class _Graph:
    """A network, and who makes what in it."""

    def __init__(self, model: onnx.ModelProto) -> None:
        self._model = model
        self.nodes = list(model.graph.node)
        self.inputs = {item.name: item for item in model.graph.input}
        self.outputs = list(model.graph.output)
        self._producers = {name: index for index, node in enumerate(self.nodes) for name in node.output}

    def find_frames(self) -> str | None:
        """Return the tensor that goes into the convolution before the first upsampling."""
        text = next(iter(self.inputs))
        for node in self.nodes:
            if node.op_type != "ConvTranspose":
                continue
            name: str | None = node.input[0]
            while name in self._producers:
                above = self.nodes[self._producers[name]]
                if above.op_type == "Conv":
                    return str(above.input[0])
                if above.op_type not in _PASSED_THROUGH:
                    break
                name = next((part for part in above.input if self.depend_on([part], text)), "")
        return None

    def find_prior(self, frames: str) -> str | None:
        """Return the sum of the text's prior and its noise, from which the flow begins."""
        noises = [index for index in self._needed([frames]) if self.nodes[index].op_type in _NOISE]
        if not noises:
            return None
        noisy = {self.nodes[max(noises)].output[0]}
        for node in self.nodes[max(noises) + 1 :]:
            if noisy & set(node.input):
                if node.op_type == "Add":
                    return str(node.output[0])
                if node.op_type not in {"Mul", "Cast"}:
                    return None
                noisy.update(node.output)
        return None

    def stage(self, source: str, target: str) -> Stage | None:
        """Return the part that makes `target` of `source`, or None if it cannot be run over windows."""
        needed = self._needed([target])
        core = [index for index in needed if index in self._dependents(source)]
        made = {name for index in core for name in self.nodes[index].output}
        others = {name for index in core for name in self.nodes[index].input if name in self._producers} - made
        sources = [source]
        for name in sorted(others - {source}):
            if self._inputs_of(self._needed([name])) <= _CONSTANT_ALONG_TIME:
                core = sorted({*core, *self._needed([name])})
            else:
                sources.append(name)
        reach = self._reach(core, source).get(target)
        inputs = self._inputs_of(core)
        if reach is None or not inputs <= _CONSTANT_ALONG_TIME:
            return None
        return Stage(
            model=self._build(core, [*map(_along_time, sources), *(self.inputs[name] for name in inputs)], [target]),
            sources=tuple(sources),
            inputs=tuple(inputs),
            margin_frames=math.ceil(reach[0]) + 1,
            scale=reach[1],
        )

    def build(self, outputs: Iterable[str]) -> bytes:
        """Return the part that makes these tensors of the voice's inputs."""
        return self._build(self._needed(outputs), self.inputs.values(), outputs)

    def depend_on(self, names: Iterable[str], source: str) -> bool:
        """Return whether any of these tensors is computed from `source`."""
        return any(source in self.nodes[index].input for index in self._needed(names))

    def _needed(self, names: Iterable[str]) -> list[int]:
        """Return the nodes that compute `names`, in order."""
        found, todo = set[int](), list(names)
        while todo:
            index = self._producers.get(todo.pop())
            if index is not None and index not in found:
                found.add(index)
                todo.extend(self.nodes[index].input)
        return sorted(found)

    def _dependents(self, source: str) -> set[int]:
        made, found = {source}, set[int]()
        for index, node in enumerate(self.nodes):
            if made & set(node.input):
                found.add(index)
                made.update(node.output)
        return found

    def _inputs_of(self, indices: Iterable[int]) -> set[str]:
        return {name for index in indices for name in self.nodes[index].input if name in self.inputs}

    @cached_property
    def _kernels(self) -> dict[str, int]:
        return {item.name: item.dims[-1] for item in self._model.graph.initializer if len(item.dims) == 3}

    def _reach(self, indices: Iterable[int], source: str) -> dict[str, tuple[float, int]]:
        """Return, for each tensor, how many frames of `source` it looks at to either side, and values per frame."""
        known: dict[str, tuple[float, int]] = {source: (0.0, 1)}
        for node in (self.nodes[index] for index in indices):
            before = [known[name] for name in node.input if name in known]
            if not before:
                continue
            reach, scale = max(before)
            if node.op_type in {"Conv", "ConvTranspose"}:
                attributes = {item.name: helper.get_attribute_value(item) for item in node.attribute}
                kernel = attributes.get("kernel_shape", [self._kernels.get(node.input[1], 0)])[0]
                if node.op_type == "Conv":
                    reach += attributes.get("dilations", [1])[0] * (kernel - 1) / 2 / scale
                else:
                    stride = attributes.get("strides", [1])[0]
                    reach, scale = reach + kernel / stride / scale, scale * stride
            known.update(dict.fromkeys(node.output, (reach, scale)))
        return known

    def _build(self, indices: Iterable[int], inputs: Iterable[Any], outputs: Iterable[str]) -> bytes:
        nodes = [self.nodes[index] for index in indices]
        read = {name for node in nodes for name in node.input}
        weights = [item for item in self._model.graph.initializer if item.name in read]
        ends = {item.name: item for item in self.outputs}
        graph = helper.make_graph(
            nodes, "part", list(inputs), [ends.get(name) or _along_time(name) for name in outputs], weights
        )
        opsets, version = self._model.opset_import, self._model.ir_version
        return bytes(helper.make_model(graph, opset_imports=opsets, ir_version=version).SerializeToString())


def _along_time(name: str) -> Any:
    return helper.make_tensor_value_info(name, TensorProto.FLOAT, [1, None, None])
