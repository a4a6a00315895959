"""When speech starts, when it stops, and when the turn is over.

Theory. A detector gives one probability per 32 ms window. Two thresholds keep a wavering voice in one piece:
speech must reach `START_PROBABILITY` to begin and goes on down to `STAY_PROBABILITY`. Time is evidence too: a
start is believed after `START_MS` of speech on end, and dated back, so that a click begins nothing. A silence
is believed over after `RESUME_MS` of speech, so that a chair or a breath does not make the user wait longer.

Nothing here waits for a shortest command and nothing is deaf at the start. But speech of less than `FIRM_MS`
may be a click with its echo, which is all that a wake word's chime leaves behind: for such, the silence must
be longer, so that the words still to come are heard. "Stop" is longer than that.

How long a silence ends the turn is what a client may choose. Silero goes on for 80 to 270 ms after the last
sound (longest after an "s"), so a turn ends that much later than the numbers here, and by default a speaker may
pause for about 300 ms. Synthetic commands in four languages leave gaps of 128 ms at most; people reading aloud,
up to 260 ms within a phrase. `benchmarks/endpointing.py` measures what these numbers cost and what they cut.
"""

from dataclasses import dataclass
from enum import Enum, StrEnum

START_PROBABILITY = 0.5
STAY_PROBABILITY = 0.35
START_MS = 64.0
RESUME_MS = 64.0
FIRM_MS = 288.0
"""Speech that is no click."""
DOUBT_MS = 512.0
"""Silence that ends speech of less than `FIRM_MS`, unless the chosen one is longer."""
PATIENCE_MS = 800.0
"""Silence that ends a turn whose words are not whole: who says "set the lamp to" is still thinking."""
NO_SPEECH_MS = 8_000.0
"""Silence from the start of the turn after which nobody is expected to speak."""
LONGEST_SPEECH_MS = 30_000.0
"""Longest turn, counted from its first word: what Whisper hears at once."""


class Sensitivity(StrEnum):
    """How soon a silence ends the turn; the values are those of Wyoming's `vad_sensitivity`."""

    AGGRESSIVE = "aggressive"
    DEFAULT = "default"
    RELAXED = "relaxed"


SILENCE_MS = {Sensitivity.AGGRESSIVE: 192.0, Sensitivity.DEFAULT: 288.0, Sensitivity.RELAXED: 800.0}
"""Silence that ends a turn, in whole windows of 32 ms."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStarted:
    """Somebody began to speak."""

    at_ms: float
    """Where in the stream, on the windows' grid; before the moment it was believed."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SpeechStopped:
    """Speech has been followed by enough silence."""

    at_ms: float
    """Where in the stream the last speech ended."""


class SpeechGate:
    """Turns window probabilities into starts and stops, in turns, for as long as the stream lasts."""

    def __init__(self, silence_ms: float = SILENCE_MS[Sensitivity.DEFAULT]) -> None:
        """Stop after `silence_ms` without speech."""
        self._silence_ms = silence_ms
        self._start_at_ms = 0.0
        self._evidence_ms = 0.0
        self._patience_ms = 0.0
        self._voiced_ms = 0.0
        self._is_voiced = False
        self.position_ms = 0.0
        """How much of the stream has been heard."""
        self.is_speaking = False
        """Whether speech has started and not stopped."""
        self.speech_end_ms = 0.0
        """Where the latest speech ended, or goes on."""

    @property
    def is_undecided(self) -> bool:
        """Whether what is heard now may become a start, or keep speech going."""
        return self._evidence_ms > 0

    def feed(self, probability: float, duration_ms: float) -> SpeechStarted | SpeechStopped | None:
        """Take the next window; return what it decides."""
        window_at_ms = self.position_ms
        self.position_ms += duration_ms
        self._is_voiced = probability >= (STAY_PROBABILITY if self._is_voiced else START_PROBABILITY)
        if self.is_speaking:
            return self._listen_for_stop(duration_ms)
        return self._listen_for_start(window_at_ms, duration_ms)

    def finish(self) -> SpeechStopped | None:
        """End the stream; return the stop of speech that goes on."""
        if not self.is_speaking:
            return None
        return self._stop()

    def reopen(self, silence_ms: float) -> None:
        """Take back the last stop: this silence must last `silence_ms`, and only a later one the usual time."""
        self.is_speaking = True
        self._patience_ms = silence_ms

    def _listen_for_start(self, window_at_ms: float, duration_ms: float) -> SpeechStarted | None:
        if not self._is_voiced:
            self._evidence_ms = 0.0
            return None
        if not self._evidence_ms:
            self._start_at_ms = window_at_ms
        self._evidence_ms += duration_ms
        self.speech_end_ms = self.position_ms
        if self._evidence_ms < START_MS:
            return None
        self.is_speaking = True
        self._voiced_ms = self._evidence_ms
        self._evidence_ms = 0.0
        return SpeechStarted(at_ms=self._start_at_ms)

    def _listen_for_stop(self, duration_ms: float) -> SpeechStopped | None:
        self._evidence_ms = self._evidence_ms + duration_ms if self._is_voiced else 0.0
        is_going_on = self.position_ms - duration_ms <= self.speech_end_ms
        if self._is_voiced and (is_going_on or self._evidence_ms >= RESUME_MS):
            self.speech_end_ms = self.position_ms
            self._voiced_ms += duration_ms
            self._patience_ms = 0.0
        doubt_ms = DOUBT_MS if self._voiced_ms < FIRM_MS else 0.0
        silence_ms = max(self._silence_ms, doubt_ms, self._patience_ms)
        if self.position_ms - self.speech_end_ms < silence_ms or self._evidence_ms:
            return None
        return self._stop()

    def _stop(self) -> SpeechStopped:
        self.is_speaking = False
        self._is_voiced = False
        self._evidence_ms = 0.0
        return SpeechStopped(at_ms=self.speech_end_ms)


class TurnEnd(Enum):
    """Why a turn is over."""

    SILENCE = "silence"
    NO_SPEECH = "no speech"
    TOO_LONG = "too long"
    AUDIO_STOPPED = "audio stopped"


@dataclass(frozen=True, slots=True, kw_only=True)
class TurnEnded:
    """The user's turn is over."""

    reason: TurnEnd
    at_ms: float
    """Where in the stream the last speech ended; the stream's position if there was none."""


class TurnPolicy:
    """Ends one turn: at the first silence that is long enough, or when waiting makes no sense any more."""

    def __init__(self, sensitivity: Sensitivity = Sensitivity.DEFAULT) -> None:
        """Begin a turn."""
        self._gate = SpeechGate(SILENCE_MS[sensitivity])
        self._started: SpeechStarted | None = None
        self._reopened_at_ms: float | None = None
        self.ended: TurnEnded | None = None
        """How the turn ended, once it has."""

    @property
    def started(self) -> SpeechStarted | None:
        """Where speech began, once it has."""
        return self._started

    @property
    def position_ms(self) -> float:
        """How much of the stream has been heard."""
        return self._gate.position_ms

    @property
    def speech_end_ms(self) -> float:
        """Where the latest speech ended, or goes on."""
        return self._gate.speech_end_ms

    @property
    def is_undecided(self) -> bool:
        """Whether what is heard now may become speech."""
        return self._gate.is_undecided

    def feed(self, probability: float, duration_ms: float) -> SpeechStarted | TurnEnded | None:
        """Take the next window; return what it decides. Nothing is decided after the end."""
        if self.ended:
            return None
        decision = self._gate.feed(probability, duration_ms)
        if isinstance(decision, SpeechStarted):
            self._started = decision
            return decision
        if isinstance(decision, SpeechStopped):
            return self._end(TurnEnd.SILENCE, decision.at_ms)
        return self._resume() or self._give_up()

    def finish(self) -> TurnEnded:
        """End the turn where the client ended its audio; the earlier end if it had ended."""
        at_ms = self._gate.speech_end_ms if self._started else self._gate.position_ms
        return self.ended or self._end(TurnEnd.AUDIO_STOPPED, at_ms)

    def reopen(self) -> bool:
        """Take back an end by silence, because the words so far are not whole; return whether there is a wait left.

        The turn then ends after `PATIENCE_MS` of silence, unless speech resumes, which `feed` reports.
        """
        silent_ms = self._gate.position_ms - self._gate.speech_end_ms
        if self.ended is None or self.ended.reason is not TurnEnd.SILENCE or silent_ms >= PATIENCE_MS:
            return False
        self._reopened_at_ms = self._gate.speech_end_ms
        self._gate.reopen(PATIENCE_MS)
        self.ended = None
        return True

    def _resume(self) -> SpeechStarted | None:
        """Notice that speech goes on after a reopened end."""
        if self._reopened_at_ms is None or self._gate.speech_end_ms <= self._reopened_at_ms:
            return None
        self._reopened_at_ms = None
        return SpeechStarted(at_ms=self._gate.position_ms - RESUME_MS)

    def _give_up(self) -> TurnEnded | None:
        """End a turn that has become too long, or in which nobody speaks."""
        position_ms = self._gate.position_ms
        if self._started and position_ms - self._started.at_ms >= LONGEST_SPEECH_MS:
            return self._end(TurnEnd.TOO_LONG, self._gate.speech_end_ms)
        if not self._started and position_ms >= NO_SPEECH_MS and not self._gate.is_undecided:
            return self._end(TurnEnd.NO_SPEECH, position_ms)
        return None

    def _end(self, reason: TurnEnd, at_ms: float) -> TurnEnded:
        self.ended = TurnEnded(reason=reason, at_ms=at_ms)
        return self.ended
