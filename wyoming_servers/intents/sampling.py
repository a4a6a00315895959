"""The sentences of home-assistant-intents as one graph: drawn from at random, and asked whether it holds a sentence.

A template such as `<turn> on [<the>] {name}` becomes arcs between numbered nodes. An arc carries nothing, a space, a
piece of a word, or a slot such as `{light}`, which stands for every name of that kind. Slots keep the graph's size
independent of how many names a home has.
"""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

from hassil.expression import (
    Alternative,
    Expression,
    Group,
    ListReference,
    Permutation,
    RuleReference,
    Sentence,
    TextChunk,
)
from hassil.intents import IntentData, Intents, RangeSlotList, TextSlotList, WildcardSlotList
from home_assistant_intents import get_intents

from wyoming_servers.errors import RequestError

AREA, FLOOR, NUMBER, COUNT, ITEM, TIMER = "{area}", "{floor}", "{number}", "{count}", "{item}", "{timer}"
"""Slots beside the home's domains, which are `{light}`, `{cover}` and so on; a count is of hours or minutes."""
_WILDCARDS = {"shopping_list_item": ITEM, "todo_list_item": ITEM, "timer_name": TIMER}
_SPACE = " "
_PIECES = re.compile(r"\s+|[^\s]+")
_MAX_PERMUTED = 4
_COMMON = {
    "HassTurnOn": 8.0,
    "HassTurnOff": 8.0,
    "HassLightSet": 5.0,
    "HassStartTimer": 5.0,
    "HassClimateGetTemperature": 2.0,
    "HassClimateSetTemperature": 2.0,
    "HassGetState": 3.0,
    "HassGetWeather": 1.5,
    "HassSetVolume": 1.5,
    "HassTimerStatus": 1.5,
    "HassCancelTimer": 1.5,
}
"""How much likelier than other intents these are to be said."""

Arc = tuple[str, int, float]
"""Label, where it leads, weight among the arcs of its node."""


@dataclass(frozen=True, slots=True)
class _Root:
    """One template's beginning."""

    node: int
    weight: float


@dataclass(slots=True)
class SentenceGraph:
    """Every sentence of a language, with slots in place of names."""

    arcs: list[list[Arc]] = field(default_factory=lambda: [[]])
    roots: list[_Root] = field(default_factory=list)
    skip_phrases: list[str] = field(default_factory=list)
    """Words people put around a command: please, could you."""
    end: int = 0

    def draw(self, root: int, chance: random.Random) -> tuple[str, ...]:
        """Return the words and slots of one sentence of a template, chosen at random."""
        node, pieces = self.roots[root].node, []
        while node != self.end:
            arcs = self.arcs[node]
            if len(arcs) == 1:
                label, node, _ = arcs[0]
            else:
                label, node, _ = chance.choices(arcs, [arc[2] for arc in arcs])[0]
            pieces.append(label)
        return tuple("".join(pieces).split())


def sample_sentences(graph: SentenceGraph, *, count: int, seed: int = 1) -> Iterator[tuple[str, ...]]:
    """Yield about `count` sentences, the same every time: each template several times, likely intents more often."""
    chance = random.Random(seed)  # noqa: S311  # samples, not secrets
    total = sum(root.weight for root in graph.roots)
    for number, root in enumerate(graph.roots):
        for _ in range(max(4, round(count * root.weight / total))):
            words = graph.draw(number, chance)
            if words:
                yield _with_skipped(words, graph.skip_phrases, chance)


def _with_skipped(words: tuple[str, ...], phrases: list[str], chance: random.Random) -> tuple[str, ...]:
    """Put a polite phrase before or after some of the sentences."""
    if not phrases or chance.random() > 0.08:
        return words
    phrase = tuple(chance.choice(phrases).split())
    if "please" in phrase and chance.random() < 0.5:
        return words + phrase
    if phrase[-1] == "you" and chance.random() < 0.4:
        phrase = (*phrase, "please")
    return phrase + words


def build_graph(language: str, domains: Mapping[str, int], *, has_areas: bool, has_floors: bool) -> SentenceGraph:
    """Compile the templates a home with these entity domains (and how many of each) can use.

    Raises RequestError("no-intents") for a language home-assistant-intents does not have.
    """
    data = get_intents(language)
    if data is None:
        raise RequestError("no-intents", f"There are no command sentences for the language '{language}'.")
    compiler = _Compiler(Intents.from_dict(data), language, domains, has_areas=has_areas, has_floors=has_floors)
    return compiler.compile()


class _Compiler:
    """Builds the graph; a part that this home cannot say (a floor where it has none) leaves no arcs behind it."""

    def __init__(
        self, intents: Intents, language: str, domains: Mapping[str, int], *, has_areas: bool, has_floors: bool
    ) -> None:
        self._intents = intents
        self._domains = domains
        self._has = {"area": has_areas, "floor": has_floors}
        self._graph = SentenceGraph(skip_phrases=list(intents.skip_words))
        self._rules: dict[str, Sentence] = {}
        self._block: IntentData | None = None

    def compile(self) -> SentenceGraph:
        for name, intent in self._intents.intents.items():
            roots: list[int] = []
            for block in intent.data:
                self._block = block
                self._rules = {**self._intents.expansion_rules, **block.expansion_rules}
                for sentence in block.sentences:
                    node = self._node()
                    if self._add(sentence.expression, node, self._graph.end):
                        roots.append(node)
            # The root of the number of templates: an intent in a hundred forms is not said a hundred times more often.
            share = _COMMON.get(name, 1.0) * len(roots) ** -0.5 if roots else 0.0
            self._graph.roots += [_Root(node, share) for node in roots]
        self._prune()
        return self._graph

    def _node(self) -> int:
        self._graph.arcs.append([])
        return len(self._graph.arcs) - 1

    def _arc(self, start: int, label: str, end: int, weight: float = 1.0) -> None:
        self._graph.arcs[start].append((label, end, weight))

    def _add(self, expression: Expression, start: int, end: int) -> bool:  # noqa: PLR0911  # by kind
        """Lay the expression between two nodes; False if this home can say none of it."""
        if isinstance(expression, TextChunk):
            return self._add_text(expression.text, start, end)
        if isinstance(expression, RuleReference):
            rule = self._rules.get(expression.rule_name)
            return rule is not None and self._add(rule.expression, start, end)
        if isinstance(expression, ListReference):
            return self._add_list(expression, start, end)
        if isinstance(expression, Alternative):
            return self._add_alternative(expression, start, end)
        if isinstance(expression, Permutation):
            return self._add_permutation(list(expression.items), start, end)
        if isinstance(expression, Group):
            return self._add_sequence(list(expression.items), start, end)
        return False

    def _add_text(self, text: str, start: int, end: int) -> bool:
        if "/" in text:
            return False  # "1/2" is written beside "half", and only read, never said
        text = text.lower().replace("%", " percent").replace("°", " degrees ").replace("-", " ")
        pieces = _PIECES.findall(text) or [""]
        for piece in pieces[:-1]:
            following = self._node()
            self._arc(start, _SPACE if piece.isspace() else piece, following)
            start = following
        self._arc(start, _SPACE if pieces[-1].isspace() else pieces[-1], end)
        return True

    def _add_sequence(self, items: list[Expression], start: int, end: int) -> bool:
        if not items:
            return self._add_text("", start, end)
        for item in items[:-1]:
            following = self._node()
            if not self._add(item, start, following):
                return False
            start = following
        return self._add(items[-1], start, end)

    def _add_alternative(self, group: Alternative, start: int, end: int) -> bool:
        """Weigh earlier alternatives a little more: templates name the usual wording first."""
        is_possible = False
        for rank, item in enumerate(group.items):
            inner = self._node()
            if self._add(item, inner, end):
                self._arc(start, "", inner, 1.0 / (1.0 + rank))
                is_possible = True
        return is_possible

    def _add_permutation(self, items: list[Expression], start: int, end: int) -> bool:
        if len(items) == 1 or len(items) > _MAX_PERMUTED:
            return self._add_sequence(items, start, end)
        is_possible = False
        for index, item in enumerate(items):
            inner, between = self._node(), self._node()
            rest = items[:index] + items[index + 1 :]
            if self._add(item, inner, between) and self._add_spaced(rest, between, end):
                self._arc(start, "", inner)
                is_possible = True
        return is_possible

    def _add_spaced(self, items: list[Expression], start: int, end: int) -> bool:
        following = self._node()
        self._arc(start, _SPACE, following)
        return self._add_permutation(items, following, end)

    def _add_list(self, reference: ListReference, start: int, end: int) -> bool:
        name = reference.list_name
        if name == "name":
            return self._add_names(start, end)
        if name in self._has:
            if self._has[name]:
                self._arc(start, AREA if name == "area" else FLOOR, end)
            return self._has[name]
        if slot := _WILDCARDS.get(name):
            self._arc(start, slot, end)
            return True
        values = (self._block.slot_lists if self._block else {}).get(name) or self._intents.slot_lists.get(name)
        if isinstance(values, RangeSlotList):
            # Colour temperatures in kelvin would need two thousand number words nobody says.
            if values.stop <= 100:
                self._arc(start, COUNT if name.startswith("timer_") else NUMBER, end)
            return values.stop <= 100
        if isinstance(values, WildcardSlotList) or not isinstance(values, TextSlotList):
            return False
        return self._add_alternative(Alternative(items=[value.text_in for value in values.values]), start, end)

    def _add_names(self, start: int, end: int) -> bool:
        required: Any = self._block.requires_context.get("domain") if self._block else None
        wanted = {required} if isinstance(required, str) else set(required or self._domains)
        for domain in sorted(wanted & self._domains.keys()):
            self._arc(start, slot_of(domain), end, float(self._domains[domain]))
        return bool(wanted & self._domains.keys())

    def _prune(self) -> None:
        """Drop arcs into parts that were given up half way, so that a walk always arrives."""
        arcs = self._graph.arcs
        entering: list[list[int]] = [[] for _ in arcs]
        for node, leaving in enumerate(arcs):
            for _, target, _ in leaving:
                entering[target].append(node)
        arriving, waiting = {self._graph.end}, [self._graph.end]
        while waiting:
            for node in entering[waiting.pop()]:
                if node not in arriving:
                    arriving.add(node)
                    waiting.append(node)
        for node, leaving in enumerate(arcs):
            arcs[node] = [arc for arc in leaving if arc[1] in arriving] if node in arriving else []


def slot_of(domain: str) -> str:
    """Return the slot that stands for the names of a domain's entities."""
    return f"{{{domain}}}"
