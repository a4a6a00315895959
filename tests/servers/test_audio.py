"""Audio off the wire: what is refused, and that 16 kHz comes out whatever goes in and however it is cut."""

import math
import struct

import numpy as np
import pytest
from hypothesis import given, settings, strategies as st

from wyoming_servers.errors import RequestError
from wyoming_servers.speech.audio import AudioFormat, SampleReader, parse_format, to_pcm

BOUNDS = {"min_rate_hz": 8_000, "max_rate_hz": 48_000, "max_channels": 2}
GOOD = {"rate": 16_000, "width": 2, "channels": 1}


def fmt(rate_hz: int = 16_000, channels: int = 1) -> AudioFormat:
    return AudioFormat(rate_hz=rate_hz, width_bytes=2, channels=channels)


def tone(rate_hz: int, seconds: float = 1.0, hertz: float = 440.0) -> bytes:
    times = np.arange(round(rate_hz * seconds)) / rate_hz
    return to_pcm((0.5 * np.sin(2 * np.pi * hertz * times)).astype(np.float32))


def read(reader: SampleReader, pcm: bytes, step: int) -> np.ndarray:
    parts = [reader.read(pcm[start : start + step]) for start in range(0, len(pcm), step)]
    return np.concatenate([*parts, reader.flush()])


@pytest.mark.parametrize("rate", [8_000, 16_000, 22_050, 44_100, 48_000])
@pytest.mark.parametrize("channels", [1, 2])
def test_usual_formats_are_taken(rate, channels):
    assert parse_format({**GOOD, "rate": rate, "channels": channels}, **BOUNDS) == fmt(rate, channels)


@pytest.mark.parametrize("rate", [None, 0, 1, 7_999, 48_001, -16_000, 10**9, "16000", True, math.nan, 16_000.0, [], {}])
def test_other_rates_are_refused_by_their_bound(rate):
    with pytest.raises(RequestError, match="8000 to 48000 Hz") as caught:
        parse_format({**GOOD, "rate": rate}, **BOUNDS)
    assert caught.value.code == "bad-audio"


@pytest.mark.parametrize("width", [None, 0, 1, 3, 4, 7, "2", True, 2.0])
def test_other_widths_are_refused_by_their_bound(width):
    with pytest.raises(RequestError, match=r"must be .*2 bytes") as caught:
        parse_format({**GOOD, "width": width}, **BOUNDS)
    assert caught.value.code == "bad-audio"


@pytest.mark.parametrize("channels", [None, 0, 3, 6, -1, "1", False])
def test_other_channels_are_refused_by_their_bound(channels):
    with pytest.raises(RequestError, match="1 to 2") as caught:
        parse_format({**GOOD, "channels": channels}, **BOUNDS)
    assert caught.value.code == "bad-audio"


def test_a_refusal_does_not_repeat_what_was_sent():
    with pytest.raises(RequestError) as caught:
        parse_format({**GOOD, "rate": "secret"}, **BOUNDS)
    assert "secret" not in str(caught.value)


@pytest.mark.parametrize(("channels", "size"), [(1, 1), (1, 321), (2, 2), (2, 322), (2, 3)])
def test_bytes_that_are_no_whole_frames_are_refused(channels, size):
    with pytest.raises(RequestError, match=f"whole frames of {2 * channels} bytes"):
        SampleReader(fmt(channels=channels)).read(bytes(size))


def test_16_khz_mono_is_taken_as_it_is():
    samples = SampleReader(fmt()).read(struct.pack("<4h", 0, 16_384, -32_768, 32_767))
    assert samples.dtype == np.float32
    assert samples.tolist() == [0.0, 0.5, -1.0, pytest.approx(1.0, abs=1e-4)]


def test_channels_are_mixed():
    assert SampleReader(fmt(channels=2)).read(struct.pack("<4h", 16_384, 0, -16_384, -16_384)).tolist() == [0.25, -0.5]


def test_nothing_gives_nothing():
    assert SampleReader(fmt(48_000)).read(b"").size == 0


@pytest.mark.parametrize("rate", [8_000, 11_025, 22_050, 44_100, 48_000])
def test_resampled_tone_keeps_length_pitch_and_loudness(rate):
    samples = read(SampleReader(fmt(rate)), tone(rate), rate // 50 * 2)
    assert samples.dtype == np.float32
    assert samples.size == pytest.approx(16_000, abs=2)
    spectrum = np.abs(np.fft.rfft(samples[2_000:14_000] * np.hanning(12_000)))
    assert spectrum.argmax() * 16_000 / 12_000 == pytest.approx(440, abs=2)
    assert np.abs(samples[2_000:14_000]).max() == pytest.approx(0.5, abs=0.02)


def test_what_16_khz_cannot_hold_is_filtered_out():
    samples = read(SampleReader(fmt(48_000)), tone(48_000, hertz=11_000.0), 1_920)
    assert np.abs(samples[2_000:14_000]).max() < 0.01


@settings(max_examples=25, deadline=None)
@given(step=st.integers(1, 4_000), rate=st.sampled_from([8_000, 22_050, 48_000]), channels=st.integers(1, 2))
def test_samples_do_not_depend_on_how_the_bytes_were_cut(step, rate, channels):
    pcm = np.repeat(np.frombuffer(tone(rate, 0.2), "<i2"), channels).tobytes()
    whole = read(SampleReader(fmt(rate, channels)), pcm, len(pcm))
    assert np.allclose(read(SampleReader(fmt(rate, channels)), pcm, step * 2 * channels), whole, atol=1e-5)


def test_a_chunk_comes_out_at_once_but_for_a_few_milliseconds():
    reader = SampleReader(fmt(48_000))
    given_seconds = taken = 0.0
    for _ in range(50):
        taken += reader.read(bytes(1_920)).size
        given_seconds += 0.02
    assert given_seconds - taken / 16_000 < 0.05


def test_pcm_is_clipped_and_never_wraps():
    samples = np.array([0.0, 1.0, -1.0, 2.0, -2.0, np.nan, np.inf, -np.inf, 0.5], np.float32)
    values = struct.unpack("<9h", to_pcm(samples))
    assert values == (0, 32_767, -32_768, 32_767, -32_768, 0, 32_767, -32_768, 16_384)


def test_pcm_survives_the_way_there_and_back():
    pcm = tone(16_000, 0.1)
    assert to_pcm(SampleReader(fmt()).read(pcm)) == pcm


def test_seconds_count_frames():
    assert fmt(48_000, 2).seconds(192_000) == 1.0
