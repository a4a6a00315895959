"""What to say when there is nothing to say, in the language of whoever asked."""

from functools import lru_cache
from typing import Any

from home_assistant_intents import get_intents, get_languages

_SORRY = "Sorry, I couldn't understand that"


@lru_cache(maxsize=1)
def known_languages() -> tuple[str, ...]:
    """Return every language there are sentences for."""
    return tuple(sorted(get_languages()))


@lru_cache(maxsize=8)
def sorry(language: str) -> str:
    """Return a polite sentence for what was not understood, in English where `language` has none.

    The first call for a language reads a file of up to a megabyte.
    """
    known = {name.lower(): name for name in known_languages()}
    wanted = language.replace("_", "-").lower()
    name = known.get(wanted) or known.get(wanted.split("-", maxsplit=1)[0])
    intents: dict[str, Any] = (get_intents(name) if name else None) or {}
    sentence = intents.get("responses", {}).get("errors", {}).get("no_intent")
    return sentence if isinstance(sentence, str) and sentence.strip() else _SORRY
