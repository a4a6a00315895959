"""Text off the wire: what is refused, what is taken out, what stays."""

import pytest
from hypothesis import given, strategies as st

from wyoming_servers.errors import RequestError
from wyoming_servers.speech.text import clean_text, has_words, plain_text


@pytest.mark.parametrize("value", [None, 5, True, 1.5, [], ["hi"], {}, b"hi"])
def test_what_is_no_text_is_refused(value):
    with pytest.raises(RequestError) as caught:
        clean_text(value, limit=10)
    assert caught.value.code == "bad-text"


@pytest.mark.parametrize("text", ["\ud800", "a\udfffb", "\udc80"])
def test_half_a_surrogate_pair_is_refused(text):
    with pytest.raises(RequestError, match="not valid Unicode"):
        clean_text(text, limit=10)


def test_the_limit_is_named_and_is_the_longest_allowed():
    assert clean_text("x" * 10, limit=10) == "x" * 10
    with pytest.raises(RequestError, match="limit of 10 characters") as caught:
        clean_text("x" * 11, limit=10)
    assert "xxx" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "cleaned"),
    [
        ("a\0b", "ab"),
        ("a\x1b[31mb", "a[31mb"),
        ("a\u200bb\ufeffc\u2060d", "abcd"),
        ("\u202eabc\u202c", "abc"),
        ("a\u00adb", "ab"),
        ("a  \t\u00a0b", "a b"),
        ("a\r\nb\rc\u2028d", "a\nb\nc\nd"),
        (" a ", " a "),
        ("", ""),
        ("\ue000", ""),
    ],
)
def test_what_nobody_sees_or_says_is_taken_out(text, cleaned):
    assert clean_text(text, limit=100) == cleaned


@pytest.mark.parametrize("text", ["Größe, 21.5 °C!", "می‌خواهم", "你好。", "नमस्ते", "👩‍🍳", "e\u0301", "€5 & 3%"])
def test_text_of_every_script_stays(text):
    assert clean_text(text, limit=100) == text


@given(st.text(max_size=50))
def test_cleaning_twice_changes_nothing_more(text):
    once = clean_text(text, limit=1_000)
    assert clean_text(once, limit=1_000) == once


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("**Done.** It is *on*.", "Done. It is on."),
        ("* Milk", "Milk"),
        ("## Rooms", "Rooms"),
        ("- Eggs", "Eggs"),
        ("Use `hearth`", "Use hearth"),
        ("3 * 4 is 12", "3 * 4 is 12"),
        ("It is -5 °C outside", "It is -5 °C outside"),
        ("Sunny ☀️ today 👩🏽‍🍳", "Sunny  today"),
        ("© 2026", "© 2026"),
    ],
)
def test_markup_and_pictures_are_not_said(text, said):
    assert plain_text(text) == said


@pytest.mark.parametrize("text", ["a", "7", "é", "你", "़क", "%", "½"])
def test_words(text):
    assert has_words(text)


@pytest.mark.parametrize("text", ["", " ", "...", "?!", "—", "\u200b", "\u200d", "🙂", "“”"])
def test_no_words(text):
    assert not has_words(text)
