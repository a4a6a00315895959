"""Whisper on CTranslate2, through faster-whisper.

The model is a folder on this machine: nothing is ever fetched, and audio is only ever an array. Decoding is
bounded on every side, for Whisper's failures are expensive: at most two temperatures, at most as many tokens
as the audio can hold, no timestamps, no text of one window in the prompt of the next, and gates that turn
made-up text into an empty transcript.
"""

import os
from collections.abc import Sequence
from functools import lru_cache
from pathlib import Path

# Read when the libraries load: threads that wait must not spin, and nobody asks a model hub for anything.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")
os.environ["HF_HUB_OFFLINE"] = "1"

import ctranslate2
import numpy as np
from faster_whisper import WhisperModel

from wyoming_servers.engines.base import SAMPLE_RATE_HZ, EngineOptions, Samples, SttRequest, SttResult
from wyoming_servers.engines.stt.whole import WholeStream
from wyoming_servers.errors import EngineError, ModelError, RequestError
from wyoming_servers.speech.gates import is_echo, is_loop, is_silent

_FILES = ("model.bin", "config.json", "tokenizer.json")
_TEMPERATURES = (0.0, 0.4)
_BEAM = 2
_TOKENS_PER_SECOND = 8
"""Fast speech is 4 words a second; few languages need more than two tokens for one."""
_TOKENS_SPARE = 16
_MOST_TOKENS = 224
_PROMPT_TOKENS = 200
"""With `_MOST_TOKENS` and the control tokens this stays below Whisper's 448."""
_WINDOW_SECONDS = 30
_LEAST_LOGPROB = -1.0
_NO_SPEECH = 0.6
_COMPRESSION = 2.4
_TAGS = {"jw": "jv", "no": "nb"}
"""Whisper's code → BCP 47 tag, where Home Assistant knows the language by the latter."""


class WhisperStt:
    """A Whisper model converted for CTranslate2."""

    supports_partials = False
    is_selective = False
    concurrency = 2
    """CTranslate2 decodes one utterance after another; a second thread takes audio meanwhile."""

    def __init__(self, options: EngineOptions) -> None:
        """Load the folder `options.model`. Raises ModelError if it is not a whole Whisper model."""
        folder = _check_folder(options.model)
        device = "cuda" if ctranslate2.get_cuda_device_count() else "cpu"
        try:
            self._model = WhisperModel(
                str(folder),
                device=device,
                compute_type="int8_float16" if device == "cuda" else "int8",
                cpu_threads=options.threads,
                local_files_only=True,
            )
        except Exception as err:  # tokenizers raises bare Exception for a damaged file
            raise ModelError(f"The Whisper model in {folder} cannot be loaded: {_first_line(err)}.") from err
        mels = self._model.model.n_mels
        if mels != self._model.feature_extractor.mel_filters.shape[0]:
            raise ModelError(f"The Whisper model in {folder} needs its preprocessor_config.json ({mels} mel bands).")
        self._codes = [code for code in self._model.supported_languages if self._knows(code)]
        self._prompt = lru_cache(maxsize=8)(self._build_prompt)
        self._warm_up(folder)

    @property
    def languages(self) -> Sequence[str]:
        """Every language of a multilingual model, else English."""
        return [_TAGS.get(code, code) for code in self._codes]

    def stream(self, request: SttRequest) -> WholeStream:
        """Start an utterance."""
        code = None if request.language is None else self._code(request.language)
        names = (*request.names, *request.terms)
        return WholeStream(lambda audio: self.transcribe(audio, code, names))

    def close(self) -> None:
        """Release the model's memory."""
        self._model.model.unload_model()

    def transcribe(self, samples: Samples, code: str | None, names: tuple[str, ...]) -> SttResult:
        """Return what was said, or an empty text for what is not to be trusted; `code` None means to find out."""
        if is_silent(samples):
            return SttResult(text="", language=_tag(code))
        prompt = self._prompt(names)
        try:
            text, code = self._decode(samples, code, ", ".join(prompt))
            if prompt and (not text or is_echo(text, prompt)):
                # Names can lead a small model astray; without them it often hears well.
                text, code = self._decode(samples, code, "")
        except (RuntimeError, ValueError) as err:
            raise EngineError("Whisper could not transcribe the audio.") from err
        return SttResult(text=text, language=_tag(code))

    def _warm_up(self, folder: Path) -> None:
        """Hear a second of noise: what is loaded late is loaded now, and what cannot work says so now."""
        noise = np.random.default_rng(0).normal(0, 0.1, SAMPLE_RATE_HZ).astype(np.float32)
        try:
            self._decode(noise, self._codes[0], "")
        except (RuntimeError, ValueError, LookupError) as err:
            raise ModelError(f"The Whisper model in {folder} does not work: {_first_line(err)}.") from err

    def _decode(self, samples: Samples, code: str | None, hotwords: str) -> tuple[str, str]:
        seconds = min(_WINDOW_SECONDS, len(samples) / SAMPLE_RATE_HZ)
        segments, info = self._model.transcribe(
            samples,
            language=code,
            beam_size=_BEAM,
            best_of=1,
            temperature=_TEMPERATURES,
            compression_ratio_threshold=_COMPRESSION,
            log_prob_threshold=_LEAST_LOGPROB,
            no_speech_threshold=_NO_SPEECH,
            condition_on_previous_text=False,
            without_timestamps=True,
            max_new_tokens=min(_MOST_TOKENS, _TOKENS_SPARE + int(_TOKENS_PER_SECOND * seconds)),
            hotwords=hotwords or None,
        )
        # Both temperatures may have failed; faster-whisper then hands out the better of two bad texts.
        kept = [
            segment.text.strip()
            for segment in segments
            if segment.avg_logprob >= _LEAST_LOGPROB
            and segment.compression_ratio <= _COMPRESSION
            and not is_loop(segment.text)
        ]
        return " ".join(filter(None, kept)), info.language

    def _build_prompt(self, names: tuple[str, ...]) -> tuple[str, ...]:
        """Return as many of the names, the most important first, as the prompt has room for."""
        room = _PROMPT_TOKENS
        chosen: list[str] = []
        for name in dict.fromkeys(" ".join(name.split()) for name in names):
            room -= len(self._model.hf_tokenizer.encode(f" {name},", add_special_tokens=False).ids)
            if room < 0:
                break
            if name:
                chosen.append(name)
        return tuple(chosen)

    def _knows(self, code: str) -> bool:
        return not self._model.model.is_multilingual or self._model.hf_tokenizer.token_to_id(f"<|{code}|>") is not None

    def _code(self, language: str) -> str:
        base = language.replace("_", "-").split("-")[0].lower()
        code = next((code for code, tag in _TAGS.items() if tag == base), base)
        if code not in self._codes:
            raise RequestError("unsupported-language", f"The language '{language}' is not one of this Whisper model.")
        return code


def _check_folder(folder: Path | None) -> Path:
    if folder is None:
        raise ModelError("Whisper needs a model: set --model to a folder with a Whisper model for CTranslate2.")
    if not folder.is_dir():
        raise ModelError(f"{folder} is not a folder with a Whisper model for CTranslate2.")
    missing = [name for name in _FILES if not (folder / name).is_file()]
    if not any((folder / name).is_file() for name in ("vocabulary.json", "vocabulary.txt")):
        missing.append("vocabulary.json")
    if missing:
        raise ModelError(f"The Whisper model in {folder} is not whole: {', '.join(missing)} is missing.")
    return folder


def _first_line(err: Exception) -> str:
    return (str(err).strip().splitlines() or [type(err).__name__])[0].rstrip(".")


def _tag(code: str | None) -> str | None:
    return None if code is None else _TAGS.get(code, code)
