"""Starts, stops and ends of turns from plain lists of probabilities."""

import pytest
from hypothesis import given, settings, strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from wyoming_servers.speech.endpointing import (
    DOUBT_MS,
    FIRM_MS,
    LONGEST_SPEECH_MS,
    NO_SPEECH_MS,
    PATIENCE_MS,
    RESUME_MS,
    SILENCE_MS,
    START_MS,
    Sensitivity,
    SpeechGate,
    SpeechStarted,
    SpeechStopped,
    TurnEnd,
    TurnEnded,
    TurnPolicy,
)

WINDOW_MS = 32.0


def windows(milliseconds: float, probability: float) -> list[float]:
    return [probability] * round(milliseconds / WINDOW_MS)


def gate(*parts: list[float]) -> tuple[SpeechGate, list[SpeechStarted | SpeechStopped]]:
    heard = SpeechGate()
    decisions = [heard.feed(probability, WINDOW_MS) for part in parts for probability in part]
    return heard, [decision for decision in decisions if decision]


def turn(*parts: list[float], sensitivity: Sensitivity = Sensitivity.DEFAULT) -> tuple[TurnPolicy, list]:
    policy = TurnPolicy(sensitivity)
    decisions = [policy.feed(probability, WINDOW_MS) for part in parts for probability in part]
    return policy, [decision for decision in decisions if decision]


def test_positions_are_those_of_the_speech_not_of_the_decision():
    _, decisions = gate(windows(320, 0.1), windows(960, 0.9), windows(640, 0.1))
    assert decisions == [SpeechStarted(at_ms=320), SpeechStopped(at_ms=1280)]


def test_single_loud_window_is_no_speech():
    assert gate(windows(320, 0.1), [0.99], windows(960, 0.1))[1] == []


def test_start_is_where_the_speech_that_is_believed_began():
    _, decisions = gate([0.1, 0.9, 0.1, 0.9, 0.9])
    assert decisions == [SpeechStarted(at_ms=96)]
    _, decisions = gate([0.1, 0.9, 0.9, 0.1])
    assert decisions == [SpeechStarted(at_ms=32)]


def test_wavering_voice_stays_in_one_piece():
    assert len(gate(windows(320, 0.9), windows(960, 0.4), windows(320, 0.9))[1]) == 1


def test_wavering_noise_does_not_begin():
    assert gate(windows(3200, 0.45))[1] == []


def test_click_in_the_silence_does_not_prolong_it():
    quiet = windows(SILENCE_MS[Sensitivity.DEFAULT], 0.05)
    _, decisions = gate(windows(640, 0.9), [*quiet[:4], 0.9, *quiet[5:]])
    assert decisions[1] == SpeechStopped(at_ms=640)


def test_speech_that_goes_on_just_before_the_end_goes_on():
    quiet = windows(SILENCE_MS[Sensitivity.DEFAULT] - WINDOW_MS, 0.05)
    heard, decisions = gate(windows(640, 0.9), quiet, windows(64, 0.9))
    assert len(decisions) == 1
    assert heard.is_speaking
    assert heard.speech_end_ms == 640 + len(quiet) * WINDOW_MS + 64


def test_every_start_has_its_stop():
    heard, decisions = gate(*[windows(640, 0.9), windows(960, 0.0)] * 3, windows(640, 0.9))
    assert [type(decision) for decision in decisions] == [SpeechStarted, SpeechStopped] * 3 + [SpeechStarted]
    assert heard.finish() == SpeechStopped(at_ms=3 * 1600 + 640)
    assert heard.finish() is None


def test_short_words_end_a_turn_as_soon_as_long_ones():
    for milliseconds in (FIRM_MS, 2_560):
        _, decisions = turn(windows(milliseconds, 0.95), windows(1_600, 0.02))
        assert decisions[-1] == TurnEnded(reason=TurnEnd.SILENCE, at_ms=milliseconds)
        assert _decided_after(windows(milliseconds, 0.95)) == SILENCE_MS[Sensitivity.DEFAULT]


def test_echo_of_a_click_waits_for_the_words():
    click = windows(160, 0.7)
    assert _decided_after(click) == DOUBT_MS
    _, decisions = turn(click, windows(DOUBT_MS - WINDOW_MS, 0.02), windows(960, 0.95), windows(960, 0.02))
    assert [type(decision) for decision in decisions] == [SpeechStarted, TurnEnded]
    assert decisions[1].at_ms > 1_500


def test_speech_in_the_very_first_window_counts():
    _, decisions = turn(windows(320, 0.95))
    assert decisions == [SpeechStarted(at_ms=0)]


@pytest.mark.parametrize("sensitivity", list(Sensitivity))
def test_sensitivity_is_how_long_a_silence_ends_the_turn(sensitivity):
    assert _decided_after(windows(640, 0.95), sensitivity) == SILENCE_MS[sensitivity]


def test_sensitivities_are_in_order():
    aggressive, default, relaxed = (SILENCE_MS[Sensitivity(name)] for name in ("aggressive", "default", "relaxed"))
    assert aggressive < default < relaxed


def test_nobody_speaks():
    policy, decisions = turn(windows(NO_SPEECH_MS, 0.1))
    assert decisions == [TurnEnded(reason=TurnEnd.NO_SPEECH, at_ms=NO_SPEECH_MS)]
    assert policy.started is None


def test_word_at_the_last_moment_is_heard():
    _, decisions = turn(windows(NO_SPEECH_MS - WINDOW_MS, 0.1), windows(320, 0.95))
    assert decisions == [SpeechStarted(at_ms=NO_SPEECH_MS - WINDOW_MS)]


def test_endless_speech_has_an_end():
    _, decisions = turn(windows(960, 0.1), windows(LONGEST_SPEECH_MS + 960, 0.95))
    assert decisions[-1] == TurnEnded(reason=TurnEnd.TOO_LONG, at_ms=960 + 30_016)


def test_clients_end_is_an_end_too():
    policy, _ = turn(windows(640, 0.95), windows(96, 0.1))
    assert policy.finish() == TurnEnded(reason=TurnEnd.AUDIO_STOPPED, at_ms=640)
    assert TurnPolicy().finish() == TurnEnded(reason=TurnEnd.AUDIO_STOPPED, at_ms=0)


def test_nothing_is_decided_after_the_end():
    policy, _ = turn(windows(640, 0.95), windows(960, 0.1))
    ended = policy.ended
    assert policy.feed(0.99, WINDOW_MS) is None
    assert policy.finish() is ended


def _decided_after(speech: list[float], sensitivity: Sensitivity = Sensitivity.DEFAULT) -> float:
    """Return how much silence ends a turn."""
    policy, _ = turn(speech, sensitivity=sensitivity)
    silence_ms = 0.0
    while not policy.ended:
        policy.feed(0.02, WINDOW_MS)
        silence_ms += WINDOW_MS
    return silence_ms


@given(st.lists(st.floats(0, 1), max_size=1_600), st.sampled_from(list(Sensitivity)))
@settings(deadline=None, max_examples=50)
def test_every_turn_ends_in_bounded_time(probabilities, sensitivity):
    policy, decisions = turn(probabilities, sensitivity=sensitivity)
    assert policy.ended or policy.position_ms < NO_SPEECH_MS + LONGEST_SPEECH_MS + 1_000
    assert len(decisions) <= 2
    ended = policy.finish()
    assert 0 <= ended.at_ms <= policy.position_ms
    assert policy.started is None or policy.started.at_ms < ended.at_ms


class Gate(RuleBasedStateMachine):
    """A gate hears any sound at all."""

    def __init__(self):
        super().__init__()
        self.gate = SpeechGate()
        self.decisions: list[SpeechStarted | SpeechStopped] = []
        self.fed_ms = 0.0

    @rule(probability=st.floats(0, 1), duration_ms=st.sampled_from([10.0, 32.0, 96.0]))
    def feed(self, probability, duration_ms):
        self.fed_ms += duration_ms
        if decision := self.gate.feed(probability, duration_ms):
            self.decisions.append(decision)

    @rule(times=st.integers(1, 40), probability=st.sampled_from([0.0, 0.4, 0.95]))
    def feed_more(self, times, probability):
        for _ in range(times):
            self.feed(probability, 32.0)

    @rule()
    def finish(self):
        if stopped := self.gate.finish():
            self.decisions.append(stopped)

    @invariant()
    def starts_and_stops_alternate_in_time(self):
        kinds = [type(decision) for decision in self.decisions]
        assert kinds == [SpeechStarted, SpeechStopped] * (len(kinds) // 2) + [SpeechStarted] * (len(kinds) % 2)
        times = [decision.at_ms for decision in self.decisions]
        assert times == sorted(times)

    @invariant()
    def positions_lie_in_the_stream(self):
        assert self.gate.position_ms == pytest.approx(self.fed_ms)
        assert all(0 <= decision.at_ms <= self.fed_ms for decision in self.decisions)

    @invariant()
    def speaking_is_what_the_last_decision_said(self):
        assert self.gate.is_speaking == bool(self.decisions and isinstance(self.decisions[-1], SpeechStarted))

    @invariant()
    def speech_lasts_at_least_as_long_as_its_evidence(self):
        for started, stopped in zip(self.decisions[::2], self.decisions[1::2], strict=False):
            assert stopped.at_ms - started.at_ms >= START_MS


TestGate = Gate.TestCase


def test_reopened_turn_waits_longer_for_the_rest_of_the_sentence():
    policy, decisions = turn(windows(960, 0.9), windows(288, 0.1))
    assert decisions[-1] == TurnEnded(reason=TurnEnd.SILENCE, at_ms=960)
    assert policy.reopen()
    assert policy.ended is None
    heard = [policy.feed(probability, WINDOW_MS) for probability in (*windows(352, 0.1), *windows(640, 0.9))]
    assert [decision for decision in heard if decision] == [SpeechStarted(at_ms=960 + 640)]
    ending = [policy.feed(0.1, WINDOW_MS) for _ in range(round(SILENCE_MS[Sensitivity.DEFAULT] / WINDOW_MS))]
    assert ending[-1] == TurnEnded(reason=TurnEnd.SILENCE, at_ms=960 + 640 + 640)


def test_reopened_turn_ends_where_the_speech_did_if_nothing_follows():
    policy, _ = turn(windows(960, 0.9), windows(288, 0.1))
    assert policy.reopen()
    waited_ms = 288.0
    while not (decision := policy.feed(0.1, WINDOW_MS)):
        waited_ms += WINDOW_MS
    assert decision == TurnEnded(reason=TurnEnd.SILENCE, at_ms=960)
    assert waited_ms + WINDOW_MS == pytest.approx(PATIENCE_MS, abs=WINDOW_MS)
    assert not policy.reopen()


def test_only_a_silence_can_be_taken_back():
    policy, _ = turn(windows(960, 0.9))
    assert not policy.reopen()
    policy.finish()
    assert not policy.reopen()
    policy, _ = turn(windows(NO_SPEECH_MS, 0.1))
    assert policy.ended is not None
    assert not policy.reopen()


def test_a_click_does_not_go_on_with_a_reopened_turn():
    policy, _ = turn(windows(960, 0.9), windows(288, 0.1))
    assert policy.reopen()
    assert [policy.feed(probability, WINDOW_MS) for probability in (0.1, 0.9, 0.1)] == [None] * 3
    assert RESUME_MS > WINDOW_MS
