"""Tells a transcript worth acting on from one a model made up.

Models trained on subtitles answer silence with thanks for watching, noise with loops, and a list of names
with that list. Each of these is cheap to see, and an empty transcript is better than any of them.
"""

import re
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

_SILENCE_RMS = 5e-4
"""-66 dBFS; speech across a room through a cheap microphone is about ten times louder."""
_WINDOW_SAMPLES = 1_600
_LONGEST_LOOP_WORDS = 8
_LONGEST_LOOP_LETTERS = 12
_LOOP_REPEATS = 4
_ECHOED_NAMES = 3
"""Saying three names in the order of the prompt, and nothing else, is not something people do."""


def is_silent(samples: npt.NDArray[np.float32]) -> bool:
    """Return whether no 100 ms of 16 kHz audio are loud enough to be speech."""
    whole = len(samples) // _WINDOW_SAMPLES * _WINDOW_SAMPLES
    if not whole:
        return True
    power = np.mean(np.square(samples[:whole].reshape(-1, _WINDOW_SAMPLES)), axis=1)
    return bool(power.max() < _SILENCE_RMS**2)


def is_loop(text: str) -> bool:
    """Return whether some words, or letters in languages without spaces, repeat four times in a row."""
    tokens = words(text)
    if len(tokens) > 2:
        return _repeats(tokens, longest=_LONGEST_LOOP_WORDS, least=_LOOP_REPEATS)
    return _repeats("".join(tokens), longest=_LONGEST_LOOP_LETTERS, least=_LONGEST_LOOP_LETTERS)


def _repeats(units: Sequence[str], *, longest: int, least: int) -> bool:
    """Return whether up to `longest` units follow themselves often enough, over at least `least` units."""
    for size in range(1, longest + 1):
        run = 0
        for index in range(size, len(units)):
            run = run + 1 if units[index] == units[index - size] else 0
            if run >= size * (_LOOP_REPEATS - 1) and run + size >= least:
                return True
    return False


def is_echo(text: str, names: Sequence[str]) -> bool:
    """Return whether `text` is nothing but a part of the list of names the model was given."""
    said = words(text)
    starts: list[int] = []
    listed: list[str] = []
    for name in names:
        starts.append(len(listed))
        listed += words(name)
    for first in range(len(listed) - len(said) + 1):
        if listed[first : first + len(said)] == said:
            return sum(first <= start < first + len(said) for start in starts) >= _ECHOED_NAMES
    return False


def words(text: str) -> list[str]:
    """Return the words of a text without case and punctuation."""
    return re.findall(r"\w+", text.casefold())
