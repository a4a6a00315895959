"""Says in microseconds whether words and slots are a whole sentence of the templates.

The recogniser answers the same question for text, and names the command; this one sieves hundreds of guesses for it.
The graph is walked with sets of nodes, and every step taken is remembered, so that it turns into a deterministic
automaton of just the sentences people say.
"""

from collections.abc import Iterable, Mapping, Sequence

from wyoming_servers.intents.sampling import SentenceGraph

_Nodes = frozenset[int]
_MOST_REMEMBERED = 50_000


class SentenceMatcher:
    """Accepts the sentences of one graph. Safe to share between threads: a step remembered twice is the same step."""

    def __init__(self, graph: SentenceGraph, slots: Mapping[str, Sequence[str]]) -> None:
        """Read words as themselves, and those in `slots` as any of the slots they can fill."""
        self._graph = graph
        self._slots = slots
        self._start: _Nodes = frozenset(root.node for root in graph.roots)
        self._steps: dict[tuple[_Nodes, str], _Nodes] = {}

    def accepts(self, words: Iterable[str]) -> bool:
        """Whether the words are one whole sentence."""
        nodes = self._start
        for word in words:
            step = self._steps.get((nodes, word))
            if step is None:
                if len(self._steps) >= _MOST_REMEMBERED:
                    self._steps.clear()
                step = self._steps[(nodes, word)] = self._after_space(self._over_word(nodes, word))
            if not step:
                return False
            nodes = step
        return self._graph.end in nodes

    def _over_word(self, nodes: _Nodes, word: str) -> set[int]:
        """Return where one word leads, spelt out by one arc or several."""
        slots = self._slots.get(word)
        length = 1 if slots is not None else len(word)
        waiting, seen, reached = [(node, 0) for node in nodes], set(), set()
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            node, done = place
            if done == length:
                reached.add(node)
            for label, target, _ in self._graph.arcs[node]:
                if not label or (label == " " and done == 0):
                    waiting.append((target, done))
                elif slots is not None:
                    if done == 0 and label in slots:
                        waiting.append((target, 1))
                elif word.startswith(label, done):
                    waiting.append((target, done + len(label)))
        return reached

    def _after_space(self, nodes: set[int]) -> _Nodes:
        """Return where the next word may begin, or the end."""
        waiting, seen, reached = [(node, False) for node in nodes], set(), set()
        while waiting:
            place = waiting.pop()
            if place in seen:
                continue
            seen.add(place)
            node, is_spaced = place
            arcs = self._graph.arcs[node]
            if node == self._graph.end or (is_spaced and any(label.strip() for label, _, _ in arcs)):
                reached.add(node)
            waiting += [(target, is_spaced or label == " ") for label, target, _ in arcs if not label.strip()]
        return frozenset(reached)
