"""Sentences drawn from the templates, and the matcher that knows them again."""

import pytest

from wyoming_servers.errors import RequestError
from wyoming_servers.intents.matching import SentenceMatcher
from wyoming_servers.intents.sampling import build_graph, sample_sentences

SLOTS = {"kitchen": ["{area}"], "lamp_1": ["{light}"], "seven": ["{number}", "{count}"]}


@pytest.fixture(scope="module")
def graph():
    return build_graph("en", {"light": 3}, has_areas=True, has_floors=False)


@pytest.fixture(scope="module")
def matcher(graph):
    return SentenceMatcher(graph, SLOTS)


def test_every_drawn_sentence_is_known_again():
    graph = build_graph("en", {"light": 3}, has_areas=True, has_floors=False)
    slots = {one: [one] for one in ("{area}", "{light}", "{number}", "{count}", "{item}", "{timer}")}
    matcher = SentenceMatcher(graph, slots)
    graph.skip_phrases.clear()
    sentences = list(sample_sentences(graph, count=3_000))
    assert len(sentences) > 2_000
    assert [words for words in sentences if not matcher.accepts(words)] == []


def test_drawing_repeats_itself(graph):
    assert list(sample_sentences(graph, count=500)) == list(sample_sentences(graph, count=500))


def test_what_the_home_has_not_is_never_drawn(graph):
    words = {word for sentence in sample_sentences(graph, count=3_000) for word in sentence}
    assert "{light}" in words
    assert not words & {"{floor}", "{vacuum}", "{cover}"}


@pytest.mark.parametrize(
    ("text", "is_sentence"),
    [
        ("turn on lamp_1", True),
        ("turn on the lights in the kitchen", True),
        ("set a timer for seven minutes", True),
        ("turn on lamp_1 off", False),
        ("turn on the", False),
        ("tur n on lamp_1", False),
        ("", False),
    ],
)
def test_only_whole_sentences_are_accepted(matcher, text, is_sentence):
    assert matcher.accepts(text.split()) is is_sentence


def test_a_language_without_sentences_is_refused():
    with pytest.raises(RequestError, match="xx"):
        build_graph("xx", {}, has_areas=True, has_floors=True)
