"""The sentences of a language, and what can stand in their slots in a given home.

home-assistant-intents brings the sentence templates and responses, hassil parses them. Both are shared by every
home of a language, and never changed after they are made.
"""

import functools
import json
import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Any

from hassil.intents import Intents, SlotList, TextSlotList
from hassil.numbers import get_rbnf_engine
from hassil.util import remove_punctuation
from home_assistant_intents import get_intents, get_languages

from wyoming_servers.intents.home import Area, Entity, Floor, Home

_OTHER_TAGS = {"no": "nb", "nn": "nb", "iw": "he", "in": "id", "zh": "zh-CN", "zh-hans": "zh-CN", "zh-hant": "zh-TW"}
"""Tags people use for languages the package has under another one."""
_NUMBERS_OF = {"nb": "no"}
"""Languages whose number words stand under another tag in hassil's source of them."""
_COUNTED = range(21)
"""Numbers that stand in names, as in "lamp 2" or "room twelve"."""


@dataclass(frozen=True, slots=True, kw_only=True)
class LanguageIntents:
    """What the package knows of one language."""

    language: str
    """Its tag in home-assistant-intents, such as en or pt-BR."""
    intents: Intents
    """Parsed sentence templates with the language's own lists and rules."""
    responses: dict[str, dict[str, str]]
    """Response template by intent and response key."""


@functools.lru_cache(maxsize=64)
def find_language(language: str) -> str | None:
    """Return the package's tag that fits best (en-US → en), None if it has nothing of the language."""
    known = {tag.lower(): tag for tag in get_languages()}
    parts = language.replace("_", "-").lower().split("-")
    for length in range(len(parts), 0, -1):
        tag = "-".join(parts[:length])
        if tag in known or tag in _OTHER_TAGS:
            return known.get(tag) or _OTHER_TAGS[tag]
    return next((known[tag] for tag in sorted(known) if tag.startswith(f"{parts[0]}-")), None)


def number_language(tag: str) -> str:
    """Return the tag hassil finds the number words of a package's language under."""
    return _NUMBERS_OF.get(tag, tag)


@functools.lru_cache(maxsize=2)
def load_intents(language: str) -> LanguageIntents | None:
    """Read and parse a language's sentences, about 10 MB; None for a language the package does not have."""
    tag = find_language(language)
    data: dict[str, Any] | None = get_intents(tag, json_load=json.load) if tag else None
    if tag is None or data is None:
        return None
    return LanguageIntents(
        language=tag, intents=Intents.from_dict(data), responses=data.get("responses", {}).get("intents", {})
    )


def slot_lists(home: Home, language: str | None = None) -> dict[str, SlotList]:
    """Return the lists `name`, `area` and `floor` of a home, spoken form first and what Home Assistant is told second.

    An entity keeps the alias that was said, for two entities may share a name; areas and floors get their one name.
    """
    language = language or home.language
    return {
        "name": TextSlotList.from_tuples(_entity_names(home.entities, language), allow_template=False, name="name"),
        "area": TextSlotList.from_tuples(_place_names(home.areas, language), allow_template=False, name="area"),
        "floor": TextSlotList.from_tuples(_place_names(home.floors, language), allow_template=False, name="floor"),
    }


def spoken_forms(name: str, language: str) -> tuple[str, ...]:
    """Return how a transcript may write a name: without punctuation, and with numbers as words or as digits."""
    plain = str(remove_punctuation(name)).strip()
    words, digits = _numbers(language)
    forms = [plain]
    forms += [re.sub(r"[-_/]", " ", plain), plain.replace("-", "")]
    forms += [re.sub(r"['’]", "", form) for form in forms]
    in_words = [" ".join(words.get(word, word) for word in form.split()) for form in forms]
    in_digits = [" ".join(digits.get(word.casefold(), word) for word in form.split()) for form in forms]
    spaced = (" ".join(form.split()) for form in (*forms, *in_words, *in_digits))
    return tuple(form for form in dict.fromkeys(spaced) if form)


def _entity_names(entities: Iterable[Entity], language: str) -> Iterator[tuple[str, str, dict[str, str]]]:
    for entity in entities:
        context = {"domain": entity.domain}
        if entity.device_class:
            context["device_class"] = entity.device_class
        for name in (entity.name, *entity.aliases):
            for form in spoken_forms(name, language):
                yield form, name, context


def _place_names(places: Iterable[Area | Floor], language: str) -> Iterator[tuple[str, str]]:
    for place in places:
        for name in (place.name, *place.aliases):
            for form in spoken_forms(name, language):
                yield form, place.name


@functools.lru_cache(maxsize=4)
def _numbers(language: str) -> tuple[dict[str, str], dict[str, str]]:
    """Return small numbers as {"2": "two"} and {"two": "2"}; both empty where their words are not known."""
    try:
        engine = get_rbnf_engine(number_language(find_language(language) or language))
        words = {str(number): str(engine.format_number(number).text) for number in _COUNTED}
    except ValueError:
        return {}, {}
    return words, {word.casefold(): digits for digits, word in words.items() if " " not in word}
