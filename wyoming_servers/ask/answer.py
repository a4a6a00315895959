"""What came of one turn, for a person and for a program."""

from dataclasses import asdict, dataclass, field
from typing import Any


@dataclass(frozen=True, slots=True, kw_only=True)
class FoundIntent:
    """One command the server found in the sentence."""

    name: str
    slots: dict[str, Any]


@dataclass(slots=True, kw_only=True)
class Timings:
    """Milliseconds of each stage; None for a stage that did not run."""

    endpoint: float | None = None
    """From the last sound to the server noticing the end of speech."""
    stt: float | None = None
    """From then to the transcript."""
    route: float | None = None
    """From sending the transcript to the commands in it (or to hearing that there are none)."""
    llm: float | None = None
    """From sending the transcript to the language model's full reply."""
    tts_first_audio: float | None = None
    """From sending the reply to its first audio."""
    total: float | None = None
    """From the last sound (from sending, for a written sentence) to the reply's first audio."""


@dataclass(slots=True, kw_only=True)
class Answer:
    """One turn, as far as it came."""

    transcript: str | None = None
    intents: list[FoundIntent] = field(default_factory=list)
    reply: str | None = None
    timings_ms: Timings = field(default_factory=Timings)
    error: str | None = None

    def to_json(self) -> dict[str, Any]:
        """Return the document `hearth ask --json` prints."""
        document = asdict(self)
        if self.error is None:
            del document["error"]
        return document

    def to_text(self) -> str:
        """Return what `hearth ask` prints for a person."""
        lines = []
        if self.transcript is not None:
            lines.append(f"You said   {self.transcript or '(nothing)'}")
        for intent in self.intents:
            slots = ", ".join(f"{name}: {value}" for name, value in intent.slots.items())
            lines.append(f"Intent     {intent.name}{f' ({slots})' if slots else ''}")
        if self.reply is not None:
            lines.append(f"Reply      {self.reply}")
        elif self.intents and self.error is None:
            lines.append("Reply      (Home Assistant's, from states only it knows)")
        if self.error is not None:
            lines.append(f"Failed     {self.error}")
        stages = self._stages()
        if any(value is not None for _, value in stages):
            lines += ["", *(f"{label:<22}{_milliseconds(value)}" for label, value in stages)]
        return "\n".join(lines)

    def _stages(self) -> list[tuple[str, float | None]]:
        times = self.timings_ms
        return [
            ("end of turn noticed", times.endpoint),
            ("speech to text", times.stt),
            ("router", times.route),
            ("language model", times.llm),
            ("first reply audio", times.tts_first_audio),
            ("total", times.total),
        ]


def _milliseconds(value: float | None) -> str:
    if value is None:
        return f"{'-':>8}"
    # Noise at a recording's end is a sound too, and so are words after a long pause.
    return f"{value:>8.0f} ms" + ("   (before the recording's last sound)" if value < 0 else "")
