"""Text as it comes off the wire: bounded, and rid of what nobody can see or say."""

import re
import unicodedata

from wyoming_servers.errors import RequestError

# Invisible yet meaningful in some scripts: joiners shape Persian and Indic words and hold emoji together.
_JOINERS = "\u200c\u200d"
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


def has_words(text: str) -> bool:
    """Return whether there is a letter or a digit of any script, or a symbol that has a name, such as %."""
    return any(unicodedata.category(character)[0] in "LN" or character in "%&+=@#°€$£¥" for character in text)


def _is_visible(character: str) -> bool:
    if character in "\n\t" or character in _JOINERS:
        return True
    return unicodedata.category(character) not in {"Cc", "Cf", "Cs", "Co", "Cn"}
