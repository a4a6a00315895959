"""Writes a trigram language model in ARPA form, with classes of words, from counted sentences.

Interpolated Witten-Bell smoothing: the sentences are drawn from templates, not from speech, so their counts lack the
long tail that Kneser-Ney and Good-Turing discounts are estimated from; Witten-Bell only asks how many different words
were seen to follow.
"""

import math
from collections import Counter, defaultdict
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

START, END = "<s>", "</s>"
_FLOOR = -99.0

Gram = tuple[str, ...]


class TrigramModel:
    """Counts sentences of words and class names, and writes them down."""

    def __init__(self) -> None:
        self._counts: tuple[Counter[Gram], ...] = (Counter(), Counter(), Counter())

    def add(self, sentences: Iterable[Sequence[str]], weight: float = 1.0) -> None:
        """Count sentences; `weight` is how often each is taken to have been said."""
        unigrams, bigrams, trigrams = self._counts
        for sentence in sentences:
            words = (START, *sentence, END)
            for index, word in enumerate(words):
                unigrams[(word,)] += weight  # type: ignore[assignment]  # fractions are counts, too
                if index >= 1:
                    bigrams[words[index - 1 : index + 1]] += weight  # type: ignore[assignment]
                if index >= 2:
                    trigrams[words[index - 2 : index + 1]] += weight  # type: ignore[assignment]

    @property
    def words(self) -> set[str]:
        """Every word and class name seen, sentence ends excepted."""
        return {gram[0] for gram in self._counts[0]} - {START, END}

    def write(self, path: Path) -> None:
        """Write the model as an ARPA file."""
        tables = self._tables()
        with path.open("w", encoding="utf-8") as file:
            file.write("\\data\\\n")
            for order, (probabilities, _) in enumerate(tables, start=1):
                file.write(f"ngram {order}={len(probabilities)}\n")
            for order, (probabilities, backoffs) in enumerate(tables, start=1):
                file.write(f"\n\\{order}-grams:\n")
                for gram in sorted(probabilities):
                    line = f"{_log(probabilities[gram]):.4f} {' '.join(gram)}"
                    file.write(f"{line} {_log(backoffs[gram]):.4f}\n" if gram in backoffs else f"{line}\n")
            file.write("\n\\end\\\n")

    def _tables(self) -> list[tuple[dict[Gram, float], dict[Gram, float]]]:
        """Return per order the probabilities and the weights of backing off from them."""
        unigrams = {gram: count for gram, count in self._counts[0].items() if gram != (START,)}
        total = sum(unigrams.values())
        uniform = 1.0 / len(unigrams)
        spread = len(unigrams) / (total + len(unigrams))
        first = {gram: (1 - spread) * count / total + spread * uniform for gram, count in unigrams.items()}
        second, second_backoffs = _interpolate(self._counts[1], first)
        third, third_backoffs = _interpolate(self._counts[2], second)
        first[(START,)] = 0.0
        return [(first, second_backoffs), (second, third_backoffs), (third, {})]


def _interpolate(
    counts: Mapping[Gram, float], lower: Mapping[Gram, float]
) -> tuple[dict[Gram, float], dict[Gram, float]]:
    """Return the smoothed probabilities of one order, and what each history leaves to the order below."""
    totals: dict[Gram, float] = defaultdict(float)
    followers: dict[Gram, int] = defaultdict(int)
    for gram, count in counts.items():
        totals[gram[:-1]] += count
        followers[gram[:-1]] += 1
    backoffs = {history: followers[history] / (totals[history] + followers[history]) for history in totals}
    probabilities = {
        gram: (1 - backoffs[gram[:-1]]) * count / totals[gram[:-1]] + backoffs[gram[:-1]] * lower[gram[1:]]
        for gram, count in counts.items()
    }
    return probabilities, backoffs


def _log(probability: float) -> float:
    return math.log10(probability) if probability > 0 else _FLOOR


def write_classes(path: Path, classes: Mapping[str, Mapping[str, float]]) -> None:
    """Write which words each class stands for, and how likely each is inside it."""
    with path.open("w", encoding="utf-8") as file:
        for name in sorted(classes):
            members = classes[name]
            total = sum(members.values())
            file.write(f"LMCLASS {name}\n")
            for word in sorted(members):
                file.write(f"{word} {members[word] / total:.8f}\n")
            file.write(f"END {name}\n\n")
