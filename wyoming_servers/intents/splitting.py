"""Several commands in one sentence, as in "turn on the lamp and close the blinds".

A sentence is split only at a conjunction or a mark between clauses, and only if every part is a command: by
itself, with the first words of the part before it ("turn on the lamp and *the fan*"), or, where verbs come last,
with the last words of the sentence ("mach die Lampe und den Ventilator *aus*"). A lone name is never taken as a
part, though some languages read it as "turn on": after "turn off the lamp and" it means the opposite.
"""

import functools
import itertools
import json
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from importlib import resources
from typing import Generic, Protocol, TypeVar

MAX_CUTS = 3
"""So at most four commands in a sentence; longer lists are no commands anyone speaks."""
MAX_TRIES = 60
"""Readings tried before the sentence is given up, so that chat with many "and" costs no time."""
_MAX_SHARED_END_WORDS = 2


class _Intent(Protocol):
    @property
    def intent(self) -> str: ...


_C = TypeVar("_C", bound=_Intent)


@dataclass(frozen=True, slots=True)
class Part(Generic[_C]):
    """What one part of a sentence was read as."""

    command: _C
    is_bare: bool
    """Whether it is only a name, with no word that says what to do."""
    free_text: str = ""
    """What it takes as it was said, such as the name of a timer; empty if that is sure to be meant so."""


Read = Callable[[str, _C | None], Part[_C] | None]
"""Reads a text as one command, given the command before it in the sentence."""


class Splitter:
    """Splits sentences of one language."""

    def __init__(self, language: str, names: Iterable[str] = ()) -> None:
        """Take the names of the home; a sentence is never split inside one of them."""
        self._cut = _cut_pattern(language)
        joined = sorted({name for name in names if self._cut.search(name)}, key=len, reverse=True)
        self._names = re.compile("|".join(map(re.escape, joined)), re.IGNORECASE) if joined else None

    def is_joined(self, text: str) -> bool:
        """Return whether a part of a sentence holds, or ends on, a place to split it at."""
        return bool(self._cuts(f". {text} ."))

    def split(self, text: str, read: Read[_C], *, shares_words: bool = True) -> tuple[_C, ...]:
        """Return the commands, none unless every part is one; longer parts come first.

        With `shares_words` a part may lend another its first or last words; without, each must stand alone.
        """
        cuts = self._cuts(text)
        if not cuts or len(cuts) > MAX_CUTS:
            return ()
        budget = itertools.count(1)

        def bounded(part: str, before: _C | None) -> Part[_C] | None:
            return read(part, before) if next(budget) <= MAX_TRIES else None

        return _Reading(text, cuts, bounded, shares_words).commands_from(0, (), "")

    def _cuts(self, text: str) -> list[tuple[int, int]]:
        held = [match.span() for match in self._names.finditer(text)] if self._names else []
        return [
            span
            for span in (match.span() for match in self._cut.finditer(text))
            if span[0] > 0 and span[1] < len(text) and not any(a < span[1] and span[0] < b for a, b in held)
        ]


class _Reading(Generic[_C]):
    """One sentence being read from left to right, the longest part that is a command first."""

    def __init__(self, text: str, cuts: Sequence[tuple[int, int]], read: Read[_C], shares_words: bool) -> None:
        self._text = text
        self._starts = [0, *(end for _, end in cuts)]
        self._ends = [*(start for start, _ in cuts), len(text)]
        self._read = read
        self._shares_words = shares_words

    def commands_from(self, first: int, found: tuple[_C, ...], before: str) -> tuple[_C, ...]:
        """Return `found` and the commands from piece `first` on, none if the rest cannot be read to its end."""
        if first == len(self._starts):
            return found
        for last in reversed(range(first, len(self._starts))):
            if last - first + 1 == len(self._starts):
                continue  # the whole sentence, which is no command or this would not be asked
            if read := self._part(first, last, found, before):
                command, text = read
                if command not in found and (commands := self.commands_from(last + 1, (*found, command), text)):
                    return commands
        return ()

    def _part(self, first: int, last: int, found: tuple[_C, ...], before: str) -> tuple[_C, str] | None:
        part = self._text[self._starts[first] : self._ends[last]].strip()
        if not self._shares_words:
            return _read_part(part, "", "", found[-1] if found else None, self._read)
        ending = self._text[self._starts[-1] :] if last < len(self._starts) - 1 else ""
        return _read_part(part, before, ending, found[-1] if found else None, self._read)


def _read_part(part: str, before: str, ending: str, previous: _C | None, read: Read[_C]) -> tuple[_C, str] | None:
    """Return the command of a part and its whole text, `before` being the whole text of the part before."""
    for text in _with_ends(part, ending):
        if (found := read(text, previous)) and not found.is_bare:
            return found.command, text
    for text in (f"{start} {end}" for end in _with_ends(part, ending) for start in _starts(before)):
        if (found := read(text, previous)) and previous is not None and found.command.intent == previous.intent:
            return found.command, text
    return None


def _with_ends(part: str, ending: str) -> Iterator[str]:
    yield part
    words = ending.split()
    for count in range(1, min(_MAX_SHARED_END_WORDS, len(words) - 1) + 1):
        yield f"{part} {' '.join(words[-count:])}"


def _starts(text: str) -> Iterator[str]:
    words = text.split()
    for count in range(len(words) - 1, 0, -1):
        yield " ".join(words[:count])


@functools.cache
def _cut_pattern(language: str) -> re.Pattern[str]:
    data = json.loads(resources.files(__package__).joinpath("conjunctions.json").read_text("utf-8"))
    words = data.get(language) or data.get(language.split("-", maxsplit=1)[0], [])
    joined = "|".join(re.escape(word) for word in sorted(words, key=len, reverse=True)) or r"(?!)"
    if language.startswith(("zh", "ja")):
        return re.compile(rf"\s*[,，、。；]?\s*(?:{joined})[,，、]?\s*|[，。；]\s*")
    return re.compile(rf"\s*[,;.!?]\s+(?:(?:{joined})\s+)?|\s+(?:{joined})\s+", re.IGNORECASE)
