"""Parakeet, Canary, GigaAM, Vosk and other models in ONNX, through onnx-asr.

The model is a folder on this machine whose `config.json` names its type. Such a folder does not say which
languages it understands, so it is served as the household's.
"""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import get_args

import numpy as np
import onnxruntime
from onnx_asr import load_model
from onnx_asr.loader import AsrTypeNames

from wyoming_servers.engines.base import SAMPLE_RATE_HZ, EngineOptions, Samples, SttRequest, SttResult
from wyoming_servers.engines.stt.whole import WholeStream
from wyoming_servers.errors import EngineError, ModelError, RequestError
from wyoming_servers.speech.gates import is_loop, is_silent


class OnnxAsrStt:
    """A model that onnx-asr knows the type of."""

    supports_partials = False
    is_selective = False
    concurrency = 1

    def __init__(self, options: EngineOptions) -> None:
        """Load the folder `options.model`. Raises ModelError if it is not a whole model of a known type."""
        folder = options.model
        if folder is None or not folder.is_dir():
            raise ModelError("onnx-asr needs a model: set --model to a folder with an ONNX model and its config.json.")
        session = onnxruntime.SessionOptions()
        session.intra_op_num_threads = options.threads
        # Other processes share the cores: threads that wait must sleep.
        session.add_session_config_entry("session.intra_op.allow_spinning", "0")
        is_int8 = any(folder.glob("*int8.onnx"))
        try:
            # An existing folder keeps onnx-asr from asking a model hub.
            self._model = load_model(
                _model_type(folder), folder, quantization="int8" if is_int8 else None, sess_options=session
            )
        except Exception as err:  # onnxruntime and onnx-asr raise as they like for damaged files
            reason = (str(err).strip().splitlines() or [type(err).__name__])[0].rstrip(".")
            raise ModelError(f"The model in {folder} cannot be loaded: {reason}.") from err
        self.languages: Sequence[str] = (options.language,)

    def stream(self, request: SttRequest) -> WholeStream:
        """Start an utterance in the household's language; names are not used."""
        language = request.language or self.languages[0]
        if _base(language) != _base(self.languages[0]):
            raise RequestError("unsupported-language", f"The language '{language}' is not the one this model serves.")
        return WholeStream(lambda audio: self.transcribe(audio, language))

    def close(self) -> None:
        """Release the model."""
        del self._model

    def transcribe(self, samples: Samples, language: str) -> SttResult:
        """Return what was said, or an empty text for what is not to be trusted."""
        if is_silent(samples):
            return SttResult(text="", language=language)
        try:
            text = self._model.recognize(samples, language=_base(language)).strip()
        except Exception as err:  # onnxruntime's errors share no public base
            raise EngineError("The model could not transcribe the audio.") from err
        return SttResult(text="" if is_loop(text) else text, language=language)


def _model_type(folder: Path) -> str:
    known = get_args(AsrTypeNames)
    try:
        name = json.loads((folder / "config.json").read_text(encoding="utf-8"))["model_type"]
    except OSError:
        raise ModelError(f"The model in {folder} is not whole: config.json is missing.") from None
    except (ValueError, KeyError, TypeError):
        raise ModelError(f"The config.json in {folder} does not say the model's type.") from None
    if name not in known:
        raise ModelError(f"onnx-asr knows no model type '{name}'. Known: {', '.join(known)}.")
    return str(name)


def _noise() -> Samples:
    """Return a second of noise."""
    return np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)


def _base(language: str) -> str:
    return language.replace("_", "-").split("-")[0].lower()
