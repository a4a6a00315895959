"""From a sentence to the commands in it, by the sentence templates of home-assistant-intents.

What Home Assistant's own agent matches strictly is matched here in the same way, so that both understand the same
sentences. A sentence that is not certainly a command is left to the language model: a wrong guess switches
something nobody asked for.
"""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hassil.intents import RangeSlotList
from hassil.parse_expression import parse_sentence
from hassil.recognize import RecognizeResult, is_match, recognize_all

from wyoming_servers.intents.home import Area, Home
from wyoming_servers.intents.sentences import find_language, load_intents, number_language, slot_lists, spoken_forms
from wyoming_servers.intents.splitting import Part, Splitter

MAX_CHARACTERS = 300
"""Longer texts are no commands; matching them would only take time."""

_WHOLE_SENTENCES = ("message", "conversation_command")
"""Slots that take anything, "and" and further commands included."""
_ARTICLE_CHARACTERS = 4
"""Articles and the like are not longer in any language of the package."""

_SPACED_UNIT = re.compile(r"(?<=\d)\s+(?=[%°])")


@dataclass(frozen=True, slots=True, kw_only=True)
class Command:
    """One thing to do or to answer, as Home Assistant's intent handlers take it."""

    intent: str
    """Name of a Home Assistant intent, such as HassTurnOn."""
    slots: dict[str, Any]
    """Value by slot name; names of entities, areas and floors as the home writes them."""
    response: str | None
    """Template of the answer, rendered by Home Assistant once it has acted."""
    words: Mapping[str, Any] = field(default_factory=dict, compare=False)
    """The slots as they were said ("one hour" rather than 1), for speaking."""
    domain: str | None = field(default=None, compare=False)
    """Domain of the entity or entities meant, where it is known."""


class Recogniser:
    """Understands the sentences of one home in one language; unchanging, so any thread may use it."""

    def __init__(self, home: Home, language: str | None = None) -> None:
        """Load and parse the sentences of `language`, the home's own if not given (0.1 to 0.5 s)."""
        self.home = home
        self.language = find_language(language or home.language) or home.language
        self._intents = load_intents(self.language)
        self._lists = slot_lists(home, self.language)
        self._splitter = Splitter(self.language, home.names)
        self._places = _places(home)
        self._domains = frozenset(entity.domain for entity in home.entities)
        self._shared_names = _shared_names(home, self.language)
        self._prepare()

    def recognise(self, text: str, *, area: str | None = None) -> tuple[Command, ...]:
        """Return the commands in a text, none if it is not certainly one or several commands.

        `area` is the id or name of the area the speaker is in, which "here" and bare "the lights" mean.
        """
        text = _SPACED_UNIT.sub("", " ".join(text.split()))
        if self._intents is None or not text or len(text) > MAX_CHARACTERS:
            return ()
        here = self._find_area(area)

        def read(part: str, before: Command | None) -> Part[Command] | None:
            # "The kitchen light and close the blinds" means the kitchen's, unless the speaker's room is known.
            return self._read(part, here or self._area_of(before))

        whole = self._read(text, here)
        if whole is None:
            return self._splitter.split(text, read)
        if not self._splitter.is_joined(whole.free_text):
            return (whole.command,)
        # A timer is hardly called "pizza and turn off the oven" if both halves are commands.
        return self._splitter.split(text, read, shares_words=False) or (whole.command,)

    def _prepare(self) -> None:
        """Have hassil parse templates and spell out numbers now, which it would do when they are first met."""
        if self._intents is None:
            return
        self.recognise("0 0")
        lists, language = self._intents.intents.slot_lists, number_language(self._intents.language)
        for name, values in lists.items():
            if isinstance(values, RangeSlotList):
                is_match("x", parse_sentence(f"{{{name}}}"), slot_lists=lists, language=language)

    def _find_area(self, area: str | None) -> Area | None:
        if area is None:
            return None
        by_id = (one for one in self.home.areas if one.id == area)
        by_name = (one for one in self.home.areas if one.name.casefold() == area.casefold())
        return next(by_id, None) or next(by_name, None)

    def _area_of(self, command: Command | None) -> Area | None:
        if command is None:
            return None
        if "area" in command.slots:
            return self._find_area(command.slots["area"])
        name = command.slots.get("name")
        areas = {entity.area for entity in self.home.entities if name in (entity.name, *entity.aliases)}
        return self._find_area(areas.pop()) if len(areas) == 1 else None

    def _read(self, text: str, here: Area | None) -> Part[Command] | None:
        if self._intents is None:
            return None
        readings = recognize_all(
            text,
            self._intents.intents,
            slot_lists=self._lists,
            intent_context={"area": {"value": here.name, "text": here.name}} if here else None,
            language=number_language(self._intents.language),
        )
        result = min((one for one in readings if self._can_be(one)), key=_rank, default=None)
        if result is None:
            return None
        free = (e.text for e in result.entities_list if e.is_wildcard and e.name not in _WHOLE_SENTENCES)
        return Part(self._command(text, result, here), is_bare=self._is_bare(text, result), free_text=" ".join(free))

    def _can_be(self, reading: RecognizeResult) -> bool:
        """Return whether there may be a thing of that name in the area or on the floor that was said.

        "Who is …" asks for persons in a zone of any name, and would take every question about anybody.
        """
        state, domain = reading.entities.get("state"), reading.entities.get("domain")
        if state and state.is_wildcard and domain and domain.value not in self._domains:
            return False
        named = reading.entities.get("name")
        if named is None or named.is_wildcard or not {"area", "floor"} & reading.entities.keys():
            return True
        area, floor = (getattr(reading.entities.get(slot), "value", None) for slot in ("area", "floor"))
        places = self._places.get(named.value, ())
        return not places or any(area in (None, place[0]) and floor in (None, place[1]) for place in places)

    def _is_bare(self, text: str, result: RecognizeResult) -> bool:
        """Return whether a name alone was said, perhaps with an article."""
        named = result.entities.get("name")
        rules = self._intents.intents.expansion_rules if self._intents else {}
        if named is None or named.is_wildcard:
            return False
        if result.intent_sentence and result.intent_sentence.get_required_clauses(rules):
            return False
        rest = _key(text).replace(_key(named.text), "", 1).split()
        return len(rest) == 0 or (len(rest) == 1 and len(rest[0]) <= _ARTICLE_CHARACTERS)

    def _command(self, text: str, result: RecognizeResult, here: Area | None) -> Command:
        slots: dict[str, Any] = {}
        words: dict[str, Any] = {}
        for entity in result.entities_list:
            value = _as_written(text, entity) if entity.is_wildcard else _whole_number(entity.value)
            slots[entity.name] = value
            words[entity.name] = value if entity.is_wildcard else entity.text.strip() or value
        named = result.entities.get("name")
        if here and named and not named.is_wildcard and _key(named.text) in self._shared_names:
            # Several things go by this name; Home Assistant then takes the one nearby.
            slots["preferred_area_id"] = here.id
        responses = self._intents.responses.get(result.intent.name, {}) if self._intents else {}
        domain = result.context.get("domain") or slots.get("domain")
        return Command(
            intent=result.intent.name,
            slots=slots,
            response=responses.get(result.response or "default"),
            words=words,
            domain=domain if isinstance(domain, str) else None,
        )


def _rank(reading: RecognizeResult) -> tuple[bool, int, int, int, int, int, str]:
    """Order readings, best first.

    A name before none, a long name before a short one, few wildcards, much literal text, little text in wildcards,
    and few values ("garage door" is one thing before it is a door in the garage).
    """
    named = reading.entities.get("name")
    has_name = named is not None and not named.is_wildcard
    wildcards = [len(entity.text or "") for entity in reading.entities_list if entity.is_wildcard]
    return (
        not has_name,
        -len(named.text) if named and has_name else 0,
        len(wildcards),
        -reading.text_chunks_matched,
        sum(wildcards),
        sum(entity.text_span is not None for entity in reading.entities_list),
        reading.intent.name,
    )


def _whole_number(value: Any) -> Any:
    """Return 5 for 5.0: Home Assistant speaks the value as it is."""
    return int(value) if isinstance(value, float) and value.is_integer() else value


def _as_written(text: str, entity: Any) -> Any:
    """Return what a wildcard took from the text as it was written, where its place in the text is certain."""
    if entity.text_span is None or not isinstance(entity.value, str):
        return entity.value
    written = text[slice(*entity.text_span)].strip(" \t,.;:!?")
    return written if _letters(written) == _letters(entity.value) else entity.value.strip()


def _letters(text: str) -> str:
    return "".join(filter(str.isalnum, text)).casefold()


def _key(name: str) -> str:
    return " ".join(name.casefold().split())


def _shared_names(home: Home, language: str) -> frozenset[str]:
    seen: set[str] = set()
    shared: set[str] = set()
    for entity in home.entities:
        forms = {_key(form) for name in (entity.name, *entity.aliases) for form in spoken_forms(name, language)}
        shared |= forms & seen
        seen |= forms
    return frozenset(shared)


def _places(home: Home) -> dict[str, set[tuple[str, str | None]]]:
    """Return area and floor of the entities of each name, leaving out names of which one may be anywhere."""
    floors = {floor.id: floor.name for floor in home.floors}
    areas = {area.id: (area.name, floors.get(area.floor or "")) for area in home.areas}
    places: dict[str, set[tuple[str, str | None]]] = {}
    anywhere: set[str] = set()
    for entity in home.entities:
        for name in (entity.name, *entity.aliases):
            if entity.area is None:
                anywhere.add(name)
            else:
                places.setdefault(name, set()).add(areas[entity.area])
    return {name: found for name, found in places.items() if name not in anywhere}
