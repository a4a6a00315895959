"""eSpeak NG in this process: small, robotic, in 130 languages, and there without any download.

The library keeps its state per process, so one lock guards every call and one step says one short piece of
text: over a thousand times faster than it plays, a piece is done in a few milliseconds. That is also what
makes cancelling prompt. No shell and no file is involved.
"""

import ctypes
import re
import tempfile
import threading
from collections.abc import Iterator, Sequence
from functools import cache
from pathlib import Path

import espeakng_loader
import numpy as np

from wyoming_servers.engines.base import EngineOptions, Samples, TtsRequest, Voice
from wyoming_servers.errors import EngineError, RequestError
from wyoming_servers.speech.sentences import split_text
from wyoming_servers.speech.text import has_words

_AUDIO_RETURNED_AT_ONCE = 2
_DO_NOT_EXIT = 0x8000
_UTF8 = 1
_END_WITH_PAUSE = 0x1000
_BUFFER_MS = 1000
"""Sound per call back into Python; each call waits for the interpreter, which others keep busy."""
_LONGEST_PATH = 150
"""The library copies its data folder's path into 160 bytes."""
_LONGEST_STEP = 400
"""Characters said in one step, so that a step stays short on a slow machine too."""

_FIRST_WORDS = re.compile(r"\s*\S.{7,19}?(?=\s+\w)")

_TAG = re.compile(r"([a-z]{2,3})(-[A-Z][a-z]{3})?(-[A-Z]{2}|-\d{3})?(?=-|$)")
_USUAL_VOICES = {"en": "en-us", "zh": "cmn"}
"""Which voice stands for a language without a region, where the library names several."""

_SynthCallback = ctypes.CFUNCTYPE(ctypes.c_int, ctypes.c_void_p, ctypes.c_int, ctypes.c_void_p)


class _VoiceRecord(ctypes.Structure):
    _fields_ = [  # the form ctypes wants
        ("name", ctypes.c_char_p),
        ("languages", ctypes.c_void_p),
        ("identifier", ctypes.c_char_p),
        ("gender", ctypes.c_ubyte),
        ("age", ctypes.c_ubyte),
        ("variant", ctypes.c_ubyte),
        ("reserved", ctypes.c_ubyte),
        ("score", ctypes.c_int),
        ("spare", ctypes.c_void_p),
    ]


class _Library:
    """The loaded library. There is one per process, and it is never unloaded: a process that ends does that."""

    def __init__(self) -> None:
        self.lock = threading.Lock()
        self._pieces: list[bytes] = []
        self._voice = b""
        try:
            self._lib = ctypes.CDLL(espeakng_loader.get_library_path())
        except OSError as err:
            raise EngineError("The eSpeak NG library cannot be loaded on this machine.") from err
        folder = espeakng_loader.get_data_path()
        if len(folder.encode()) > _LONGEST_PATH:
            self._short = tempfile.TemporaryDirectory(prefix="hearth-")
            folder = str(Path(self._short.name) / "espeak-ng-data")
            Path(folder).symlink_to(espeakng_loader.get_data_path(), target_is_directory=True)
        self.rate_hz = int(
            self._lib.espeak_Initialize(_AUDIO_RETURNED_AT_ONCE, _BUFFER_MS, folder.encode(), _DO_NOT_EXIT)
        )
        if self.rate_hz <= 0:
            raise EngineError("The data of eSpeak NG cannot be read; install the package espeakng-loader again.")
        self._callback = _SynthCallback(self._collect)
        self._lib.espeak_SetSynthCallback(self._callback)
        self._lib.espeak_Synth.argtypes = [ctypes.c_char_p, ctypes.c_size_t, ctypes.c_uint, ctypes.c_int]
        self._lib.espeak_Synth.argtypes += [ctypes.c_uint, ctypes.c_uint, ctypes.c_void_p, ctypes.c_void_p]
        self._lib.espeak_ListVoices.restype = ctypes.POINTER(ctypes.POINTER(_VoiceRecord))

    def _collect(self, samples: int | None, number: int, _events: int) -> int:
        if samples is not None and number > 0:
            self._pieces.append(ctypes.string_at(samples, number * 2))
        return 0

    def say(self, text: str, voice: bytes) -> Samples:
        """Return the sound of a text. Raises EngineError if the library fails."""
        raw = text.encode()
        with self.lock:
            if voice != self._voice:
                if self._lib.espeak_SetVoiceByName(voice):
                    raise EngineError("eSpeak NG cannot load one of its voices.")
                self._voice = voice
            self._pieces = []
            flags = _UTF8 if text[-1:].isalnum() else _UTF8 | _END_WITH_PAUSE
            failed = self._lib.espeak_Synth(raw, len(raw) + 1, 0, 0, 0, flags, None, None)
            pcm = b"".join(self._pieces)
        if failed:
            raise EngineError("eSpeak NG could not say a text.")
        return np.frombuffer(pcm, dtype=np.int16).astype(np.float32) / np.float32(32_768)

    def voices(self) -> dict[bytes, Voice]:
        """Return every voice, by the identifier that selects it."""
        with self.lock:
            records = self._lib.espeak_ListVoices(None)
        found: dict[bytes, Voice] = {}
        index = 0
        while records[index]:
            record = records[index].contents
            found[record.identifier] = _describe(record)
            index += 1
        return found


@cache
def _library() -> _Library:
    return _Library()


class EspeakTts:
    """The voices of eSpeak NG."""

    def __init__(self, options: EngineOptions) -> None:
        """Load the library, or share what is loaded. Raises EngineError if it cannot be."""
        self._library = _library()
        voices = self._library.voices()
        self._identifiers = {voice.name: identifier for identifier, voice in voices.items()}
        default = _default_name(options.language, list(voices.values()))
        self._voices = sorted(voices.values(), key=lambda voice: voice.name != default)

    @property
    def sample_rate_hz(self) -> int:
        """Rate of every sample."""
        return self._library.rate_hz

    @property
    def voices(self) -> Sequence[Voice]:
        """All voices, the one of the household's language first."""
        return self._voices

    @property
    def concurrency(self) -> int:
        """One: the library's state belongs to the process."""
        return 1

    def synthesize(self, request: TtsRequest) -> Iterator[Samples]:
        """Yield the sound of one bounded part of the text after the other."""
        identifier = self._identifiers.get(self._voices[0].name if request.voice is None else request.voice)
        if identifier is None:
            raise RequestError("unknown-voice", "There is no such voice.")
        if request.speaker is not None:
            raise RequestError("unknown-speaker", "This voice has no speakers to choose from.")
        return self._say(request.text, identifier, is_hurried=request.is_hurried)

    def _say(self, text: str, identifier: bytes, *, is_hurried: bool) -> Iterator[Samples]:
        for part in _parts(text, is_hurried=is_hurried):
            if has_words(part) and (samples := self._library.say(part, identifier)).any():
                yield samples

    def close(self) -> None:
        """Do nothing: the library stays for the process's other engines, and holds but a few megabytes."""


def _parts(text: str, *, is_hurried: bool) -> list[str]:
    """Return what each step says; in a hurry the first one says only the first words."""
    if is_hurried and (words := _FIRST_WORDS.match(text)):
        rest = text[words.end() :]
        return [words[0], *split_text(rest, longest=_LONGEST_STEP, longest_first=_LONGEST_STEP)]
    return split_text(text, longest=_LONGEST_STEP, longest_first=_LONGEST_STEP)


def _describe(record: _VoiceRecord) -> Voice:
    stem = record.identifier.decode().rpartition("/")[2]
    known = _language_list(record.languages)
    tags = [match[0]] if (match := _TAG.match(stem)) else []
    if "-" not in stem:
        tags += [f"{tag[:2]}-{tag[3:].upper()}" for tag in known if re.fullmatch("[a-z]{2}-[a-z]{2}", tag)]
    tags += [tag for tag in known if re.fullmatch("[a-z]{2}", tag)]
    return Voice(
        name=stem.lower(), languages=tuple(dict.fromkeys(tags)) or (stem,), description=record.name.decode().strip()
    )


def _language_list(address: int) -> list[str]:
    """Read C's list of (priority byte, text) pairs, which ends with a zero byte."""
    tags = []
    while ctypes.string_at(address, 1) != b"\0":
        tag = ctypes.string_at(address + 1)
        tags.append(tag.decode())
        address += len(tag) + 2
    return tags


def _default_name(language: str, voices: Sequence[Voice]) -> str:
    """Return the voice for a language tag: its region's, its language's, else American English."""
    wanted = language.replace("_", "-").lower()
    base = wanted.partition("-")[0]
    named = {voice.name for voice in voices}
    if (name := _USUAL_VOICES.get(wanted, wanted)) in named:
        return name
    region = (voice.name for voice in voices if wanted in (tag.lower() for tag in voice.languages))
    if (name := next(region, _USUAL_VOICES.get(base, base))) in named:
        return name
    return next((voice.name for voice in voices if base in voice.languages), "en-us")
