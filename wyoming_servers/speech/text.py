"""Text as it comes off the wire: bounded, and rid of what nobody can see or say."""

import re
import unicodedata

from wyoming_servers.errors import RequestError

# Invisible yet meaningful in some scripts: joiners shape Persian and Indic words and hold emoji together.
_JOINERS = "\u200c\u200d"
_EMOJI_PARTS = "\u200d\ufe0f\U0001f3fb\U0001f3fc\U0001f3fd\U0001f3fe\U0001f3ff"
"""What is left of an emoji without its picture: joiner, style, the five shades of skin."""
# Marks that touch a word, or stand before a line: "3 * 4" stays.
_MARKUP = re.compile(r"`+|\*+(?=\S)|(?<=\S)\*+|^[#*-]+\s+", re.MULTILINE)
_SPACES = re.compile(r"[^\S\n]+")


def clean_text(value: object, *, limit: int) -> str:
    """Return the text without control and zero-width characters, line ends as a newline each, other spaces single.

    Leading and trailing spaces stay, for a text may be one piece of a stream. Raises RequestError for anything
    that is not a text, is longer than `limit` characters or holds a lone surrogate.
    """
    if not isinstance(value, str):
        raise RequestError("bad-text", "The text must be a text.")
    if len(value) > limit:
        raise RequestError("bad-text", f"The text is over the limit of {limit} characters.")
    try:
        value.encode("utf-8")
    except UnicodeEncodeError:
        raise RequestError("bad-text", "The text is not valid Unicode: it holds half of a surrogate pair.") from None
    lines = re.sub(r"\r\n?|[\u2028\u2029\x0b\x0c\x85]", "\n", value)
    return _SPACES.sub(" ", "".join(filter(_is_visible, lines)))


def language_tag(value: object) -> str | None:
    """Return a language's tag, or None where none is given. Raises RequestError for what cannot be a tag."""
    if value is None or value == "":
        return None
    if not isinstance(value, str) or len(value) > 35 or not value.replace("-", "").replace("_", "").isalnum():
        raise RequestError("bad-language", "The language must be a tag such as en or pt-BR.")
    return value


def has_words(text: str) -> bool:
    """Return whether there is a letter or a digit of any script, or a symbol that has a name, such as %."""
    return any(unicodedata.category(character)[0] in "LN" or character in "%&+=@#°€$£¥" for character in text)


def plain_text(text: str) -> str:
    """Return the text without Markdown's emphasis, headings and bullets, and without emoji, which nobody says."""
    return "".join(character for character in _MARKUP.sub("", text) if not _is_emoji(character)).strip()


def _is_emoji(character: str) -> bool:
    # So holds ° and ©, which are said, but nothing before the arrows is a picture.
    return character in _EMOJI_PARTS or (character > "\u2190" and unicodedata.category(character) == "So")


def _is_visible(character: str) -> bool:
    if character in "\n\t" or character in _JOINERS:
        return True
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
