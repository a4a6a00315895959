"""Piper: natural voices in many languages, from a voice file and its settings beside it.

Sound is yielded in windows that grow from half a second (see `vits`), shorter still while several clients
wait for their first sound. Each step runs on one thread and several steps side by side: two clients at once then
cost each other nothing on two cores, and no thread of the engine ever spins while it waits.
"""

import importlib.util
import json
import logging
from collections.abc import Iterator, Sequence
from itertools import pairwise
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import onnxruntime
from piper import PiperConfig, PiperVoice
from piper.config import PhonemeType

from wyoming_servers.engines.base import EngineOptions, Samples, TtsRequest, Voice
from wyoming_servers.errors import EngineError, ModelError, RequestError
from wyoming_servers.speech.sentences import split_text
from wyoming_servers.speech.text import has_words

if TYPE_CHECKING:
    from wyoming_servers.engines.tts.vits import SplitVoice, Stage

_LOGGER = logging.getLogger(__name__)

_FIRST_WINDOW_FRAMES = 48
"""Half a second: enough to render the next window in, which is half as long again, on a slow machine too."""
_HURRIED_WINDOW_FRAMES = 10
"""A first window while others wait for theirs; 116 ms at the usual rate."""
_LONGEST_WINDOW_FRAMES = 128
"""About 1.5 s: what a later step renders at most, and so what anybody else waits for."""
_FLOW_WINDOW_FRAMES = 256
_LOUDNESS = 0.8
"""Peak of the loudest sentence so far; voices differ much in how loud they come out."""
_PROOF_TOLERANCE = 0.01
"""Of the peak: 40 dB below it a difference is not heard."""
_MEASURED_TEXT = "How loud is this voice?"
_LARGEST_SETTINGS_BYTES = 1024 * 1024


class PiperTts:
    """One Piper voice."""

    def __init__(self, options: EngineOptions) -> None:
        """Load the voice. Raises ModelError if its files are missing, damaged or of a kind not supported."""
        path = _voice_file(options.model)
        settings = _read_settings(path.with_name(f"{path.name}.json"))
        self._concurrency = max(1, min(options.threads, 4))
        self._renderer = _Renderer(path, settings)
        self._voice = _describe(path, settings)
        self._speakers: dict[str, int] = dict(self._renderer.config.speaker_id_map or {})

    @property
    def sample_rate_hz(self) -> int:
        """Rate of every sample."""
        return self._renderer.config.sample_rate

    @property
    def voices(self) -> Sequence[Voice]:
        """The one voice of the file."""
        return (self._voice,)

    @property
    def concurrency(self) -> int:
        """How many steps may run side by side, each on a thread of its own."""
        return self._concurrency

    def synthesize(self, request: TtsRequest) -> Iterator[Samples]:
        """Yield windows of sound, the first one short."""
        if request.voice not in {None, self._voice.name}:
            raise RequestError("unknown-voice", "There is no such voice.")
        if request.speaker is not None and request.speaker not in self._speakers:
            raise RequestError("unknown-speaker", "This voice has no such speaker.")
        speaker = self._speakers.get(request.speaker) if request.speaker is not None else None
        return self._renderer.render(request.text, speaker, is_hurried=request.is_hurried)

    def close(self) -> None:
        """Release nothing: the memory goes with the engine, which steps in progress still need."""


class _Renderer:
    """The loaded network: text to sound."""

    def __init__(self, path: Path, settings: dict[str, Any]) -> None:
        self.config = _parse_config(settings)
        self._peaks: dict[int | None, float] = {}
        try:
            self._load(path, _split(path))
            if not self._is_proven():
                self._load(path, None)
                self._is_proven()
        except ModelError:
            raise
        except Exception as err:  # onnx and onnxruntime raise whatever a damaged file makes them trip over
            raise ModelError("The voice's model file is damaged or is no Piper voice.") from err

    def render(self, text: str, speaker: int | None, *, is_hurried: bool) -> Iterator[Samples]:
        """Yield the sound of a text; nothing where there is nothing to pronounce."""
        first = _HURRIED_WINDOW_FRAMES if is_hurried else _FIRST_WINDOW_FRAMES
        try:
            for ids in self._phoneme_ids(text):
                for samples in self._sound(ids, speaker, first):
                    yield self._level(samples, speaker)
        except (ValueError, RuntimeError, KeyError) as err:
            raise EngineError("Piper could not say a text.") from err

    def _load(self, path: Path, split: "SplitVoice | None") -> None:
        self._encoder = _session(split.encoder if split else path.read_bytes())
        self._encoder_outputs = list(split.outputs) if split else []
        self._stages = [_Stage(stage) for stage in split.stages] if split else []
        self._voice = PiperVoice(session=self._encoder, config=self.config, download_dir=path.parent)

    def _phoneme_ids(self, text: str) -> Iterator[list[int]]:
        for part in split_text(text) if has_words(text) else ():
            # Two brackets would begin raw phonemes: a text is only ever read out.
            for phonemes in self._voice.phonemize(part.replace("[[", "[ [")):
                if any(has_words(phoneme) for phoneme in phonemes):
                    yield self._voice.phonemes_to_ids(phonemes)

    def _sound(self, ids: list[int], speaker: int | None, first: int) -> Iterator[Samples]:
        inputs = self._inputs(ids, speaker)
        if not self._stages:
            yield self._encoder.run(None, inputs)[0].reshape(-1)
            return
        prior = dict(zip(self._encoder_outputs, self._encoder.run(self._encoder_outputs, inputs), strict=True))
        *earlier, vocoder = self._stages
        track = _Track(prior)
        for stage in earlier:
            track = _Rendered(stage, track, inputs)
        begin, size = 0, first
        while begin < track.frames:
            end = min(begin + size, track.frames)
            yield vocoder.run(track, inputs, begin, end).reshape(-1)
            begin, size = end, min(max(size + size // 2, _FIRST_WINDOW_FRAMES // 2), _LONGEST_WINDOW_FRAMES)

    def _inputs(self, ids: list[int], speaker: int | None) -> dict[str, Any]:
        config = self.config
        scales = np.array([config.noise_scale, config.length_scale, config.noise_w_scale], np.float32)
        inputs = {"input": np.array([ids], np.int64), "input_lengths": np.array([len(ids)]), "scales": scales}
        if config.num_speakers > 1:
            inputs["sid"] = np.array([config.default_speaker_id if speaker is None else speaker])
        return inputs

    def _level(self, samples: Samples, speaker: int | None) -> Samples:
        peak = float(np.abs(samples).max(initial=0.0))
        loudest = self._peaks[speaker] = max(peak, self._peaks.get(speaker, self._peaks.get(None, 0.0)), 1e-4)
        return samples * np.float32(_LOUDNESS / loudest)

    def _is_proven(self) -> bool:
        """Say something, to know how loud the voice is; return whether its windows give what the whole gives."""
        ids = next(iter(self._phoneme_ids(_MEASURED_TEXT)), None)
        if ids is None:
            raise ModelError("The voice's settings give no phonemes for a plain text.")
        inputs = self._inputs(ids, None)
        outputs = self._encoder.run(self._encoder_outputs or None, inputs)
        if not self._stages:
            self._level(outputs[0].reshape(-1), None)
            return True
        prior = _Track(dict(zip(self._encoder_outputs, outputs, strict=True)))
        whole, pieces = prior, prior
        for stage in self._stages:
            whole = _Track({stage.target: stage.run(whole, inputs, 0, whole.frames)})
            cuts = [0, pieces.frames // 3, pieces.frames // 2, pieces.frames]
            parts = [stage.run(pieces, inputs, begin, end) for begin, end in pairwise(cuts)]
            pieces = _Track({stage.target: np.concatenate(parts, axis=-1)})
        samples, joined = whole.all(), pieces.all()
        self._level(samples.reshape(-1), None)
        return joined.shape == samples.shape and np.allclose(
            joined, samples, atol=_PROOF_TOLERANCE * np.abs(samples).max()
        )


class _Track:
    """Values along time, all known: tensors of shape (…, frames) by name."""

    def __init__(self, tensors: dict[str, Any]) -> None:
        self._tensors = tensors

    @property
    def frames(self) -> int:
        return int(next(iter(self._tensors.values())).shape[-1])

    def window(self, begin: int, end: int) -> dict[str, Any]:
        return {name: values[..., begin:end] for name, values in self._tensors.items()}

    def all(self) -> Any:
        return next(iter(self._tensors.values()))


class _Rendered(_Track):
    """Values along time that a stage makes as they are asked for, from the first on."""

    def __init__(self, stage: "_Stage", source: _Track, inputs: dict[str, Any]) -> None:
        super().__init__({})
        self._stage, self._source, self._inputs = stage, source, inputs
        self._parts: list[Any] = []
        self._done = 0

    @property
    def frames(self) -> int:
        return self._source.frames

    def window(self, begin: int, end: int) -> dict[str, Any]:
        if (end := min(end, self.frames)) > self._done:
            # Beyond the first sound each run does more at once, for its margins cost time too.
            upto = min(max(end, self._done + _FLOW_WINDOW_FRAMES), self.frames) if self._done else end
            self._parts.append(self._stage.run(self._source, self._inputs, self._done, upto))
            self._parts, self._done = [np.concatenate(self._parts, axis=-1)], upto
        return {self._stage.target: self._parts[0][..., begin:end]}


class _Stage:
    """A loaded stage of a voice."""

    def __init__(self, stage: "Stage") -> None:
        self._stage = stage
        self._session = _session(stage.model)
        self.target: str = self._session.get_outputs()[0].name

    def run(self, source: _Track, inputs: dict[str, Any], begin: int, end: int) -> Any:
        """Return what it makes of frames `begin` to `end`, knowing what lies around them."""
        margin, scale = self._stage.margin_frames, self._stage.scale
        low = max(0, begin - margin)
        window = source.window(low, min(end + margin, source.frames))
        made = self._session.run(None, {**window, **{name: inputs[name] for name in self._stage.inputs}})[0]
        return made[..., (begin - low) * scale : (end - low) * scale]


def _split(path: Path) -> "SplitVoice | None":
    """Return the voice in halves, or None where it cannot be or `onnx` is not installed to do it."""
    if importlib.util.find_spec("onnx") is None:
        _LOGGER.info("The voice is rendered sentence by sentence; with the package onnx its sound begins sooner")
        return None
    from wyoming_servers.engines.tts.vits import split_voice  # noqa: PLC0415  # only where onnx is there

    return split_voice(path)


def _session(model: bytes) -> onnxruntime.InferenceSession:
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = options.inter_op_num_threads = 1
    options.add_session_config_entry("session.intra_op.allow_spinning", "0")
    return onnxruntime.InferenceSession(model, options, providers=["CPUExecutionProvider"])


def _voice_file(model: Path | None) -> Path:
    if model is None:
        raise ModelError("Piper needs a voice: name its .onnx file with --model.")
    if not model.is_dir():
        return model
    files = sorted(model.glob("*.onnx"))
    if len(files) != 1:
        raise ModelError(f"The folder '{model.name}' must hold exactly one .onnx file; it holds {len(files)}.")
    return files[0]


def _read_settings(path: Path) -> dict[str, Any]:
    try:
        if path.stat().st_size > _LARGEST_SETTINGS_BYTES:
            raise ModelError(f"The voice's settings '{path.name}' are too large to be settings.")
        settings = json.loads(path.read_text(encoding="utf-8"))
    except FileNotFoundError:
        raise ModelError(f"The voice's settings '{path.name}' are missing; they belong beside its model.") from None
    except (OSError, ValueError, RecursionError) as err:
        raise ModelError(f"The voice's settings '{path.name}' cannot be read.") from err
    if not isinstance(settings, dict):
        raise ModelError(f"The voice's settings '{path.name}' are not those of a Piper voice.")
    return settings


def _parse_config(settings: dict[str, Any]) -> PiperConfig:
    try:
        config = PiperConfig.from_dict(settings)
        is_sane = 8_000 <= int(config.sample_rate) <= 48_000 and int(config.num_speakers) >= 1
    except (KeyError, TypeError, ValueError, AttributeError) as err:
        raise ModelError("The voice's settings are not those of a Piper voice.") from err
    if not is_sane:
        raise ModelError("The voice's settings name a sample rate or number of speakers that cannot be.")
    if config.phoneme_type not in {PhonemeType.ESPEAK, PhonemeType.TEXT}:
        raise ModelError(f"Voices with '{config.phoneme_type.value}' phonemes are not supported.")
    return config


def _describe(path: Path, settings: dict[str, Any]) -> Voice:
    language = settings.get("language")
    code = language.get("code") if isinstance(language, dict) else None
    espeak = settings.get("espeak")
    tag = str(code or (espeak.get("voice") if isinstance(espeak, dict) else None) or path.stem.partition("-")[0])
    base, _, region = tag.replace("_", "-").partition("-")
    languages = (f"{base}-{region.upper()}", base) if region else (base,)
    speakers = settings.get("speaker_id_map")
    return Voice(
        name=path.stem,
        languages=languages,
        speakers=tuple(str(speaker) for speaker in speakers) if isinstance(speakers, dict) else (),
        description=path.stem.replace("_", " ").replace("-", " "),
    )
