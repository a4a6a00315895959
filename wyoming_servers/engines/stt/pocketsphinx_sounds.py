"""How words sound: CMU's dictionary, and eSpeak NG for what it does not have."""

import ctypes
import itertools
import re
import threading
from collections.abc import Mapping
from pathlib import Path

import espeakng_loader

from wyoming_servers.errors import EngineError

Pronunciation = tuple[str, ...]
"""ARPAbet phones, without stress."""

MAX_VARIANTS = 4
_ENTRY = re.compile(r"^(?P<word>\S+?)(?:\(\d+\))?$")
_UTF8, _IPA = 1, 2
_LOCK = threading.Lock()

# Longest first: diphthongs and rhotic vowels before the vowels they begin with.
_IPA_PHONES: dict[str, str] = {
    "aɪə": "AY AH", "aɪɚ": "AY ER", "aʊə": "AW AH", "tʃ": "CH", "dʒ": "JH", "eɪ": "EY", "aɪ": "AY", "ɔɪ": "OY",
    "oʊ": "OW", "əʊ": "OW", "aʊ": "AW", "ɔːɹ": "AO R", "oːɹ": "AO R", "ɑːɹ": "AA R", "ɛɹ": "EH R", "ɪɹ": "IH R",
    "ʊɹ": "UH R", "ɜː": "ER", "iː": "IY", "uː": "UW", "ɑː": "AA", "ɔː": "AO", "oː": "OW", "əl": "AH L", "ɪə": "IY AH",
    "iə": "IY AH", "n̩": "AH N", "l̩": "AH L", "ɐ": "AH", "ɚ": "ER", "ɝ": "ER", "ə": "AH", "ʌ": "AH", "ɪ": "IH",
    "i": "IY", "ᵻ": "IH", "ɛ": "EH", "e": "EH", "æ": "AE", "a": "AE", "ɑ": "AA", "ɒ": "AA", "ɔ": "AO", "o": "OW",
    "ʊ": "UH", "u": "UW", "p": "P", "b": "B", "t": "T", "d": "D", "k": "K", "ɡ": "G", "g": "G", "f": "F", "v": "V",
    "θ": "TH", "ð": "DH", "s": "S", "z": "Z", "ʃ": "SH", "ʒ": "ZH", "h": "HH", "m": "M", "n": "N", "ŋ": "NG", "l": "L",
    "ɫ": "L", "ɹ": "R", "r": "R", "w": "W", "j": "Y", "ɾ": "D", "ʔ": "T", "x": "K", "ç": "HH", "ɲ": "N Y", "y": "UW",
    "ø": "ER", "œ": "ER", "ʁ": "R", "c": "K", "ɬ": "L", "q": "K", "ɜ": "ER",
}  # fmt: skip
_LONGEST = max(map(len, _IPA_PHONES))


def load_dictionary(path: Path) -> dict[str, list[Pronunciation]]:
    """Read a dictionary in CMU's form."""
    sounds: dict[str, list[Pronunciation]] = {}
    with path.open(encoding="utf-8") as file:
        for line in file:
            entry, *phones = line.split()
            match = _ENTRY.match(entry)
            if match and phones:
                sounds.setdefault(match["word"], []).append(tuple(phones))
    return sounds


class Sounds:
    """Pronounces words and names in English."""

    def __init__(self, dictionary: Mapping[str, list[Pronunciation]]) -> None:
        self._dictionary = dictionary

    def of_word(self, word: str) -> list[Pronunciation]:
        """Return ways to say one word, the likeliest first; empty if there is nothing to say in it."""
        known = self._dictionary.get(word) or self._dictionary.get(word.strip("'"))
        if known:
            return known[:MAX_VARIANTS]
        spoken = phones_of_ipa(ipa_of(word))
        return [spoken] if spoken else []

    def of_name(self, text: str) -> list[Pronunciation]:
        """Return ways to say a name of several words, at most `MAX_VARIANTS`."""
        parts = [variants for word in text.split() if (variants := self.of_word(word))]
        if not parts:
            return []
        # Not every combination: first all first choices, then the next, so that short names keep all of theirs.
        chosen = itertools.islice(itertools.product(*(variants[:2] for variants in parts)), MAX_VARIANTS)
        return list(dict.fromkeys(tuple(itertools.chain.from_iterable(one)) for one in chosen))


def phones_of_ipa(ipa: str) -> Pronunciation:
    """Map eSpeak's IPA to the phones of the acoustic model; signs without a sound of their own are passed over."""
    phones: list[str] = []
    index = 0
    while index < len(ipa):
        for length in range(min(_LONGEST, len(ipa) - index), 0, -1):
            if sounds := _IPA_PHONES.get(ipa[index : index + length]):
                phones += sounds.split()
                index += length
                break
        else:
            index += 1
    return tuple(phones)


def ipa_of(text: str) -> str:
    """Return how eSpeak NG would say a text in American English, without stress marks.

    Raises EngineError if eSpeak NG cannot start.
    """
    with _LOCK:
        library = _espeak()
        buffer = ctypes.c_char_p(text.encode("utf-8", "ignore"))
        pointer = ctypes.cast(buffer, ctypes.c_void_p)
        spoken: list[str] = []
        while pointer.value:
            piece = library.espeak_TextToPhonemes(ctypes.byref(pointer), _UTF8, _IPA)
            if piece:
                spoken.append(piece.decode("utf-8", "ignore"))
        return re.sub(r"\([a-z-]+\)|[ˈˌ]", "", " ".join(spoken))


_loaded: list[ctypes.CDLL] = []


def _espeak() -> ctypes.CDLL:
    """Return eSpeak NG, started once per process: its state is global."""
    if _loaded:
        return _loaded[0]
    library = ctypes.CDLL(espeakng_loader.get_library_path())
    library.espeak_Initialize.argtypes = (ctypes.c_int, ctypes.c_int, ctypes.c_char_p, ctypes.c_int)
    library.espeak_TextToPhonemes.restype = ctypes.c_char_p
    library.espeak_TextToPhonemes.argtypes = (ctypes.POINTER(ctypes.c_void_p), ctypes.c_int, ctypes.c_int)
    synchronous, do_not_exit = 2, 0x8000
    data = espeakng_loader.get_data_path().encode()
    if library.espeak_Initialize(synchronous, 0, data, do_not_exit) < 0 or library.espeak_SetVoiceByName(b"en-us"):
        raise EngineError("eSpeak NG, which says how unknown names sound, cannot start.")
    _loaded.append(library)
    return library
