"""A home's model, loaded: cepstra in, the likeliest command out.

Two decoders hear the same sound. One knows only the home's sentences, the other any sequence of English phones. How
much likelier the first is than the second, per frame of speech, tells a command from anything else that was said.
"""

import itertools
import json
import math
import queue
import re
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import pocketsphinx

from wyoming_servers.engines.stt.pocketsphinx_build import ACOUSTIC_MODEL, FORMAT, LANGUAGE, hash_of, home_graph
from wyoming_servers.errors import HearthError, ModelError
from wyoming_servers.intents.home import Home
from wyoming_servers.intents.matching import SentenceMatcher
from wyoming_servers.intents.recogniser import Recogniser

LEAST_LIKELIHOOD = -0.85
LEAST_LIKELIHOOD_OTHERWISE = -0.2
"""Natural logarithm per frame of speech, command against phones; below it the words were something else.

Words that are no whole command have to be surer: most other speech comes out as such.
"""
MOST_GUESSES = 200
MOST_RECOGNISED = 10
_STEP_FRAMES = 25
"""Fed at once: the decoder holds Python's global lock meanwhile, some 15 ms."""
_SCORE_SCALE = 1024.0
"""PocketSphinx gives the logarithm of its scores divided by this, so that it stays in range."""
_VARIANT = re.compile(r"\(\d+\)$")
_WIDE = {"beam": 1e-80, "wbeam": 1e-60, "pbeam": 1e-80, "maxhmmpf": -1, "lw": 6.5}
"""Default beams lose the right words early: they are made for fifty times the vocabulary."""
_NARROW = {"beam": 1e-30, "wbeam": 1e-25, "pbeam": 1e-30, "maxhmmpf": 3000, "lw": 3.0, "pl_window": 0}


@dataclass(frozen=True, slots=True, kw_only=True)
class Guess:
    """What was probably said."""

    text: str
    likelihood: float
    """Per frame of speech, against any English at all."""
    is_command: bool

    @property
    def is_trusted(self) -> bool:
        """Whether it was rather said than not."""
        least = LEAST_LIKELIHOOD if self.is_command else LEAST_LIKELIHOOD_OTHERWISE
        return bool(self.text) and self.likelihood >= least


_NOTHING = Guess(text="", likelihood=-math.inf, is_command=False)


class HomeModel:
    """Decoders for one home, lent to one utterance at a time."""

    def __init__(self, folder: Path, pairs: int) -> None:
        """Load the model in `folder` for as many utterances at once. Raises ModelError if its files are damaged."""
        try:
            description = json.loads((folder / "model.json").read_text(encoding="utf-8"))
            if description["format"] != FORMAT:
                raise ModelError("The starter's language model was built by another version of Hearth.")
            if any(hash_of(folder / name) != value for name, value in description["files"].items()):
                raise ModelError("A file of the starter's language model is damaged.")
            home = Home.from_json(description["home"])
            self._written: dict[str, str] = description["written"]
            matcher = SentenceMatcher(home_graph(home), description["slots"])
            self._pairs: queue.SimpleQueue[_Decoders] = queue.SimpleQueue()
            for _ in range(pairs):
                self._pairs.put(_Decoders(folder))
        except HearthError:
            raise
        except (OSError, ValueError, KeyError, TypeError, AttributeError, RuntimeError) as err:
            raise ModelError("The starter's language model is damaged; build it again with: hearth train") from err
        self.version = home.version
        self._matcher = matcher
        self._recogniser = Recogniser(home, LANGUAGE)
        # "Turn on the lights" is a command where the speaker's room is known, which it usually is.
        self._area = home.areas[0].id if home.areas else None

    def listen(self, cepstra: npt.NDArray[np.float32]) -> Guess:
        """Return what was probably said."""
        with self._lent() as decoders:
            heard = decoders.hear(cepstra)
        if not heard.guesses:
            return _NOTHING
        words, is_command = self._choose([guess.split() for guess in heard.guesses])
        return Guess(text=self._write(words), likelihood=heard.likelihood, is_command=is_command)

    @contextmanager
    def _lent(self) -> Iterator["_Decoders"]:
        decoders = self._pairs.get()
        try:
            yield decoders
        finally:
            self._pairs.put(decoders)

    def _choose(self, guesses: Sequence[list[str]]) -> tuple[list[str], bool]:
        """Return the likeliest words that are a whole command, or else the likeliest words."""
        asked = 0
        for words in guesses:
            if asked < MOST_RECOGNISED and self._matcher.accepts(_without_politeness(words)):
                asked += 1
                if self._is_command(words):
                    return words, True
        # Several commands in one sentence are none of the templates.
        return guesses[0], self._is_command(guesses[0])

    def _is_command(self, words: list[str]) -> bool:
        return bool(self._recogniser.recognise(self._write(words), area=self._area))

    def _write(self, words: list[str]) -> str:
        return " ".join(self._written.get(word, word) for word in words)


_POLITE = [
    phrase.split()
    for phrase in (
        "would you please",
        "could you please",
        "can you please",
        "would you",
        "could you",
        "can you",
        "please",
    )
]


def _without_politeness(words: list[str]) -> list[str]:
    for phrase in _POLITE:
        if words[: len(phrase)] == phrase:
            words = words[len(phrase) :]
            break
    return words[:-1] if words[-1:] == ["please"] else words


@dataclass(frozen=True, slots=True, kw_only=True)
class _Heard:
    guesses: list[str]
    """Different sequences of words, the likeliest first."""
    likelihood: float


class _Decoders:
    """One decoder of the home's sentences and one of phones."""

    def __init__(self, folder: Path) -> None:
        common: dict[str, Any] = {
            "hmm": str(ACOUSTIC_MODEL),
            "featparams": str(folder / "feat.params"),
            "lm": None,
            # Scores of the two are only comparable if both are relative to the best of all sounds.
            "compallsen": True,
            "loglevel": "FATAL",
        }
        self._sentences = pocketsphinx.Decoder(
            dict=str(folder / "home.dict"), lmctl=str(folder / "home.lmctl"), lmname="home", **common, **_WIDE
        )
        common["lm"] = str(folder / "phones.arpa")
        self._phones = pocketsphinx.Decoder(
            dict=str(folder / "phones.dict"), fwdflat=False, bestpath=False, **common, **_NARROW
        )

    def hear(self, cepstra: npt.NDArray[np.float32]) -> _Heard:
        score = self._decode(self._sentences, cepstra)
        if score is None:
            return _Heard(guesses=[], likelihood=-math.inf)
        spoken = sum(one.end_frame - one.start_frame + 1 for one in self._sentences.seg() if not _is_filler(one.word))
        guesses = [_plain(one.hypstr) for one in itertools.islice(self._sentences.nbest(), MOST_GUESSES) if one]
        best = _plain(self._sentences.hyp().hypstr)
        phones = self._decode(self._phones, cepstra)
        likelihood = (score - phones) / max(1, spoken) if phones is not None else -math.inf
        return _Heard(guesses=[one for one in dict.fromkeys([best, *guesses]) if one], likelihood=likelihood)

    @staticmethod
    def _decode(decoder: Any, cepstra: npt.NDArray[np.float32]) -> float | None:
        """Run one decoder over an utterance; return the likelihood of its best path, None if there is none."""
        decoder.start_utt()
        try:
            for start in range(0, len(cepstra), _STEP_FRAMES):
                decoder.process_cep(cepstra[start : start + _STEP_FRAMES].tobytes())
        finally:
            decoder.end_utt()
        best = decoder.hyp()
        return math.log(best.score) * _SCORE_SCALE if best and best.score > 0 else None


def _plain(guess: str) -> str:
    return " ".join(_VARIANT.sub("", word) for word in guess.split() if not _is_filler(word))


def _is_filler(word: str) -> bool:
    return word[0] in "<[+"
