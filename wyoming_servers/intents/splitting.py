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
MAX_TRIES = 40
"""Readings tried before the sentence is given up, so that chat with many "and" costs no time."""
_MAX_SHARED_END_WORDS = 2


class _Reading(Protocol):
    @property
    def intent(self) -> str: ...


_C = TypeVar("_C", bound=_Reading)


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
        joined = sorted({name.casefold() for name in names if self._cut.search(name)})
        self._names = re.compile("|".join(map(re.escape, joined))) if joined else None

    def is_joined(self, text: str) -> bool:
        """Return whether a part of a sentence holds, or ends on, a place to split it at."""
        return bool(self._cuts(f". {text} ."))

    def split(self, text: str, read: Read[_C], *, shares_words: bool = True) -> tuple[_C, ...]:
        """Return the commands, none unless every part is one; fewer and longer parts come first.

        With `shares_words` a part may lend another its first or last words; without, each must stand alone.
        """
        cuts = self._cuts(text)
        if len(cuts) > MAX_CUTS:
            return ()
        budget = itertools.count(1)

        def bounded(part: str, before: _C | None) -> Part[_C] | None:
            return read(part, before) if next(budget) <= MAX_TRIES else None

        for count in range(1, len(cuts) + 1):
            for chosen in itertools.combinations(cuts, count):
                if commands := _read_parts(_parts(text, chosen), bounded, shares_words=shares_words):
                    return commands
        return ()

    def _cuts(self, text: str) -> list[tuple[int, int]]:
        folded = text.casefold()
        held = [match.span() for match in self._names.finditer(folded)] if self._names else []
        return [
            span
            for span in (match.span() for match in self._cut.finditer(text))
            if span[0] > 0 and span[1] < len(text) and not any(a < span[1] and span[0] < b for a, b in held)
        ]


def _parts(text: str, cuts: Sequence[tuple[int, int]]) -> list[str]:
    edges = [0, *itertools.chain.from_iterable(cuts), len(text)]
    return [text[start:end].strip() for start, end in zip(edges[::2], edges[1::2], strict=True)]


def _read_parts(parts: Sequence[str], read: Read[_C], *, shares_words: bool) -> tuple[_C, ...]:
    commands: list[_C] = []
    before = ""
    for number, part in enumerate(parts):
        ending = parts[-1] if shares_words and number < len(parts) - 1 else ""
        found = _read_part(part, before, ending, commands[-1] if commands else None, read)
        if found is None or found[0] in commands:
            return ()
        command, whole = found
        before = whole if shares_words else ""
        commands.append(command)
    return tuple(commands)


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
