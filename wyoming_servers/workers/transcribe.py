"""Reads what a client says about the speech it is going to send, trusting none of it."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from wyoming_servers.engines.base import SttRequest
from wyoming_servers.errors import RequestError
from wyoming_servers.speech.endpointing import Sensitivity
from wyoming_servers.speech.text import clean_text

_MOST_WORDS = 2_000
"""Names or terms of one request: a large home with its aliases."""
_MOST_CHARACTERS = 100
"""One name, one language tag."""


@dataclass(frozen=True, slots=True, kw_only=True)
class TranscribeRequest:
    """A valid `transcribe`."""

    stt: SttRequest = field(default_factory=SttRequest)
    sensitivity: Sensitivity = Sensitivity.DEFAULT
    context: dict[str, Any] | None = None
    """Given back as it came."""


def parse_transcribe(data: Mapping[str, Any], *, languages: Sequence[str], names: Sequence[str]) -> TranscribeRequest:
    """Return what a `transcribe` event asks for.

    `languages` and `names` (of the program and its models) are what can be asked for. Raises RequestError.
    """
    name = _text(data, "name")
    if name is not None and name not in names:
        raise RequestError("unknown-model", f"There is no model '{name}'. Available: {', '.join(names)}.")
    context = data.get("context")
    if context is not None and not isinstance(context, dict):
        raise RequestError("bad-request", "A transcription's context must be a JSON object.")
    return TranscribeRequest(
        stt=SttRequest(
            language=_language(_text(data, "language"), languages),
            names=_words(data, "transcript_names"),
            terms=_words(data, "transcript_terms"),
        ),
        sensitivity=_sensitivity(_text(data, "vad_sensitivity")),
        context=context,
    )


def match_language(tag: str, languages: Sequence[str]) -> str | None:
    """Return the one of `languages` that serves a tag: itself, or else one that differs only in its region."""
    wanted = tag.replace("_", "-").casefold()
    known = {language.replace("_", "-").casefold(): language for language in reversed(languages)}
    if wanted in known:
        return known[wanted]
    primary = wanted.partition("-")[0]
    return next((language for language in languages if _primary(language) == primary), None)


def _primary(language: str) -> str:
    return language.replace("_", "-").partition("-")[0].casefold()


def _language(tag: str | None, languages: Sequence[str]) -> str | None:
    if tag is None:
        return None
    if language := match_language(tag, languages):
        return language
    raise RequestError(
        "unsupported-language", f"The language '{tag}' is not supported. Supported: {', '.join(languages)}."
    )


def _sensitivity(value: str | None) -> Sensitivity:
    """Take a sensitivity of a later protocol version for the default, as the protocol asks for."""
    return Sensitivity(value) if value in set(Sensitivity) else Sensitivity.DEFAULT


def _text(data: Mapping[str, Any], key: str) -> str | None:
    value = data.get(key)
    return None if value is None else clean_text(value, limit=_MOST_CHARACTERS)


def _words(data: Mapping[str, Any], key: str) -> tuple[str, ...]:
    values = data.get(key)
    if values is None:
        return ()
    if not isinstance(values, list):
        raise RequestError("bad-request", f"'{key}' must be a list of texts.")
    if len(values) > _MOST_WORDS:
        raise RequestError("too-large", f"'{key}' is over the limit of {_MOST_WORDS} entries.")
    return tuple(word for value in values if (word := clean_text(value, limit=_MOST_CHARACTERS).strip()))
