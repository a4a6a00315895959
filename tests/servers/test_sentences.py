"""Pieces to say: cut where a reader would pause, soon, and without losing a word."""

import pytest
from hypothesis import given, settings, strategies as st

from wyoming_servers.speech.sentences import LONGEST_FIRST_PIECE, LONGEST_PIECE, SentenceSplitter, split_text

# Marks that matter are much more frequent here than in any text.
TEXTS = st.text(alphabet=st.sampled_from(" \n.,;:!?…-\"')»。！，、؟*12 3abA éßZ你Dr"), max_size=300)


def feed(text: str, step: int = 1) -> list[str]:
    splitter = SentenceSplitter()
    pieces = []
    for start in range(0, len(text), step):
        pieces += splitter.add(text[start : start + step])
    return pieces + splitter.finish()


@pytest.mark.parametrize(
    ("text", "pieces"),
    [
        ("Está bien. ¿Qué más? ¡Listo!", ["Está bien.", "¿Qué más?", "¡Listo!"]),
        ("Done. 21 degrees now.", ["Done.", "21 degrees now."]),
        ("all off. good night.", ["all off.", "good night."]),
        ("It is 21.5 degrees at 10:30. Fine.", ["It is 21.5 degrees at 10:30.", "Fine."]),
        ("Dr. Smith and Mrs. Jones called. Twice.", ["Dr. Smith and Mrs. Jones called.", "Twice."]),
        ("Use e.g. the lamp. Or z.B. this one.", ["Use e.g. the lamp.", "Or z.B. this one."]),
        ("The U.S. Navy called.", ["The U.S. Navy called."]),
        ("Here are items: 1. Milk 2. Eggs 3. Bread", ["Here are items:", "1. Milk 2. Eggs 3. Bread"]),
        ("1. Milk\n2. Eggs\n3. Bread", ["1. Milk", "2. Eggs", "3. Bread"]),
        ("No. I cannot. See no. 5 instead.", ["No.", "I cannot.", "See no. 5 instead."]),
        ("Heute ist der 3. Mai. Schön.", ["Heute ist der 3. Mai.", "Schön."]),
        ("It is 21. Then it fell.", ["It is 21.", "Then it fell."]),
        ("She said “stop.” Then left.", ["She said “stop.”", "Then left."]),
        ("Really?! Yes... maybe.", ["Really?!", "Yes...", "maybe."]),
        ("今日は。元気ですか？はい。", ["今日は。", "元気ですか？", "はい。"]),
        ("كيف حالك؟ أنا بخير۔", ["كيف حالك؟", "أنا بخير۔"]),
        ("नमस्ते। ठीक है॥", ["नमस्ते।", "ठीक है॥"]),
        ("no end at all", ["no end at all"]),
        ("  \n ", []),
        ("", []),
    ],
)
@pytest.mark.parametrize("step", [1, 3, 1000])
def test_sentences(text, pieces, step):
    assert feed(text, step) == pieces


def test_first_piece_may_be_a_clause_and_later_ones_are_not():
    text = "The kitchen light is on, the oven is off, too. The hall is dark, as well."
    assert split_text(text) == [
        "The kitchen light is on,",
        "the oven is off, too.",
        "The hall is dark, as well.",
    ]


def test_a_word_alone_is_no_first_clause():
    assert split_text("Sure, I turned it on.") == ["Sure, I turned it on."]


def test_a_number_with_a_comma_is_no_clause():
    assert split_text("It used 1,234,567 watts.") == ["It used 1,234,567 watts."]


def test_a_sentence_is_ready_as_soon_as_its_mark_is_followed():
    splitter = SentenceSplitter()
    assert splitter.add("It is on") == []
    assert splitter.add(".") == []
    assert splitter.add(" ") == ["It is on."]


def test_the_end_of_a_wide_sentence_waits_for_nothing():
    assert SentenceSplitter().add("はい。") == ["はい。"]


def test_text_without_an_end_does_not_wait_for_it():
    splitter = SentenceSplitter()
    pieces = splitter.add("word " * 100)
    assert 0 < len(pieces[0]) <= LONGEST_FIRST_PIECE
    assert all(len(piece) <= LONGEST_PIECE for piece in pieces)
    assert len(pieces) >= 2


def test_long_text_is_cut_after_a_clause_where_there_is_one():
    text = "start " * 15 + "it goes on and on; " + "word " * 60
    _, second, *_ = split_text(text, longest_first=30)
    assert second.endswith("on;")


def test_a_word_of_any_length_is_cut():
    pieces = split_text("a" * 1_000)
    assert "".join(pieces) == "a" * 1_000
    assert max(map(len, pieces)) <= LONGEST_PIECE


@settings(max_examples=300)
@given(TEXTS, st.integers(1, 40))
def test_no_character_is_lost_or_moved(text, step):
    assert "".join("".join(feed(text, step)).split()) == "".join(text.split())


@settings(max_examples=300)
@given(TEXTS, st.integers(1, 40))
def test_pieces_do_not_depend_on_how_the_text_came(text, step):
    assert feed(text, step) == split_text(text)


@settings(max_examples=300)
@given(TEXTS)
def test_pieces_are_neither_empty_nor_too_long(text):
    pieces = split_text(text, longest=30, longest_first=20)
    assert all(piece and piece == piece.strip() and len(piece) <= 30 for piece in pieces)


@settings(max_examples=200)
@given(st.lists(st.from_regex(r"[a-z]{1,12}", fullmatch=True), max_size=60))
def test_words_shorter_than_a_piece_stay_whole(words):
    assert " ".join(split_text(" ".join(words))).split() == words
