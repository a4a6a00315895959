"""The vocabulary of a home: every name and number as one word of the language model, and what is written for it.

A name of several words is one word to the decoder. A trigram then sees past it ("turn <living room lamp> off"), and a
home with a thousand names needs no more sentences to be counted than one with ten: names are members of classes.
"""

import json
import random
import re
import unicodedata
from collections import defaultdict
from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from importlib import resources
from itertools import chain

from wyoming_servers.engines.stt.pocketsphinx_sounds import Pronunciation, Sounds
from wyoming_servers.intents.home import Home
from wyoming_servers.intents.sampling import AREA, COUNT, FLOOR, ITEM, NUMBER, TIMER, slot_of

_ALIAS_WEIGHT = 0.5
_ODD_NUMBER_WEIGHT = 0.25
"""Numbers above twenty that are no multiple of five are said less often."""
_COUNTS = {*range(1, 61), 90}
"""Of seconds, minutes and hours; others are said in the next bigger unit."""
_ONES = [
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine",
    "ten", "eleven", "twelve", "thirteen", "fourteen", "fifteen",
    "sixteen", "seventeen", "eighteen", "nineteen",
]  # fmt: skip
_TENS = ["twenty", "thirty", "forty", "fifty", "sixty", "seventy", "eighty", "ninety"]
_SIGNS = re.compile(r"[^\w' ]+|_")


@dataclass(slots=True)
class Spoken:
    """One thing that is said as a unit."""

    written: str
    slots: set[str] = field(default_factory=set)
    weight: float = 0.0


@dataclass(slots=True)
class Vocabulary:
    """Words of the language model beyond those of the templates."""

    spoken: dict[str, Spoken] = field(default_factory=dict)
    """By token."""
    sounds: dict[str, list[Pronunciation]] = field(default_factory=dict)
    classes: dict[str, dict[str, float]] = field(default_factory=dict)
    """Class name → token → weight. A token is in one class: names that fill the same slots share it."""
    choices: dict[str, tuple[list[str], list[float]]] = field(default_factory=dict)
    """Slot → the classes that can fill it, and how likely each does."""

    def place_classes(self, sentence: Iterable[str], chance: random.Random) -> tuple[str, ...]:
        """Put a class in the place of every slot."""
        return tuple(chance.choices(*self.choices[word])[0] if word in self.choices else word for word in sentence)


def collect_vocabulary(home: Home, sounds: Sounds) -> Vocabulary:
    """Gather the home's names, the numbers, and things people put on lists; what nobody can pronounce is left out."""
    vocabulary = Vocabulary()
    members: dict[tuple[str, ...], dict[str, float]] = defaultdict(dict)
    for number, (said, spoken) in enumerate(_gather(home).items()):
        if ways := sounds.of_name(said):
            token = f"unit_{number}"
            vocabulary.spoken[token] = spoken
            vocabulary.sounds[token] = ways
            members[tuple(sorted(spoken.slots))][token] = spoken.weight
    filling: dict[str, list[tuple[str, float]]] = defaultdict(list)
    for number, (slots, tokens) in enumerate(sorted(members.items())):
        name = f"%class{number}"
        vocabulary.classes[name] = tokens
        for slot in slots:
            filling[slot].append((name, sum(tokens.values())))
    vocabulary.choices = {
        slot: ([one[0] for one in names], [one[1] for one in names]) for slot, names in filling.items()
    }
    return vocabulary


def _gather(home: Home) -> dict[str, Spoken]:
    """Return what is said → what it stands for."""
    found: dict[str, Spoken] = {}

    def add(slot: str, said: str, written: str, weight: float = 1.0) -> None:
        if said := spoken_form(said):
            spoken = found.setdefault(said, Spoken(written))
            spoken.slots.add(slot)
            spoken.weight = max(spoken.weight, weight)

    named: Sequence[tuple[str, str, tuple[str, ...]]] = [
        *((AREA, area.name, area.aliases) for area in home.areas),
        *((FLOOR, floor.name, floor.aliases) for floor in home.floors),
        *((slot_of(entity.domain), entity.name, entity.aliases) for entity in home.entities),
    ]
    for slot, name, aliases in named:
        add(slot, name, name)
        for alias in aliases:
            add(slot, alias, alias, _ALIAS_WEIGHT)
    for number in range(101):
        is_common = number <= 20 or number % 5 == 0
        weight = 1.0 if is_common else _ODD_NUMBER_WEIGHT
        add(NUMBER, number_in_words(number), str(number), weight)
        if number in _COUNTS:
            add(COUNT, number_in_words(number), str(number), weight)
    things = json.loads(resources.files(__package__).joinpath("pocketsphinx_things.json").read_text("utf-8"))
    for slot, texts in ((ITEM, things["items"]), (TIMER, things["timers"])):
        for text in texts:
            add(slot, text, text)
    return found


def number_in_words(number: int) -> str:
    """Return a number from 0 to 100 as it is said."""
    if number < 20:
        return _ONES[number]
    if number == 100:
        return "one hundred"
    tens = _TENS[number // 10 - 2]
    return f"{tens} {_ONES[number % 10]}" if number % 10 else tens


def spoken_form(name: str) -> str:
    """Return a name in small letters, its signs gone and its numbers up to 100 in words."""
    plain = unicodedata.normalize("NFKC", name).casefold().replace("&", " and ").replace("+", " plus ")
    words = _SIGNS.sub(" ", plain).split()
    return " ".join(number_in_words(int(one)) if one.isdecimal() and int(one) <= 100 else one for one in words)


def sound_lines(sounds: dict[str, list[Pronunciation]]) -> Iterable[str]:
    """Yield the lines of a dictionary file."""
    return chain.from_iterable(
        (f"{word}{f'({rank})' if rank > 1 else ''} {' '.join(phones)}\n" for rank, phones in enumerate(ways, start=1))
        for word, ways in sorted(sounds.items())
    )
