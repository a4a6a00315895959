"""Recordings in, replies out: what `hearth ask` reads and writes."""

import asyncio
import time
from pathlib import Path

import numpy as np
import pytest

from tests.support.wav import read_wav, tone, write_wav
from wyoming_servers.ask.recording import PlayedRecording, Recording, WavFile, read_recording
from wyoming_servers.errors import RequestError, SettingsError


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (16_000, 1), (44_100, 2), (48_000, 1)])
def test_any_usual_format_is_read(tmp_path: Path, rate_hz: int, channels: int) -> None:
    path = write_wav(tmp_path / "a.wav", tone(0.2, rate_hz=rate_hz), rate_hz=rate_hz, channels=channels)

    recording = read_recording(path)

    assert (recording.rate_hz, recording.channels) == (rate_hz, channels)
    assert recording.frame_bytes == rate_hz // 100 * 2 * channels


@pytest.mark.parametrize(
    ("form", "reason"),
    [
        ({"width_bytes": 1}, "8 bits per sample; 16 are needed"),
        ({"width_bytes": 3}, "24 bits per sample; 16 are needed"),
        ({"channels": 4}, "4 channels; one or two are needed"),
        ({"rate_hz": 7_999}, "7999 Hz; 8000 to 48000 are needed"),
        ({"rate_hz": 96_000}, "96000 Hz; 8000 to 48000 are needed"),
    ],
)
def test_other_formats_are_refused_with_the_reason(tmp_path: Path, form: dict[str, int], reason: str) -> None:
    path = write_wav(tmp_path / "a.wav", bytes(2400), **form)

    with pytest.raises(RequestError, match=reason):
        read_recording(path)


@pytest.mark.parametrize("content", [b"", b"RIFF", b"RIFF\x24\0\0\0WAVEfmt ", b"ID3 this is an mp3", bytes(100)])
def test_what_is_no_wav_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "a.wav"
    path.write_bytes(content)

    with pytest.raises(RequestError, match="is not a PCM WAV file"):
        read_recording(path)


def test_a_file_that_is_not_there_or_is_empty_is_refused(tmp_path: Path) -> None:
    with pytest.raises(RequestError, match="Cannot read"):
        read_recording(tmp_path / "none.wav")
    with pytest.raises(RequestError, match="holds no audio"):
        read_recording(write_wav(tmp_path / "empty.wav", b""))


@pytest.mark.parametrize("background", [0.0, 0.004])
def test_the_end_of_speech_is_where_the_last_sound_ends(background: float) -> None:
    noise = np.random.default_rng(1).normal(0, background * 32767, 2 * 16_000)
    speech = np.concatenate([np.zeros(8_000), np.frombuffer(tone(0.5), "<i2"), np.zeros(16_000)])
    pcm = np.clip(speech + noise, -32768, 32767).astype("<i2").tobytes()

    end_ms = Recording(pcm=pcm, rate_hz=16_000, channels=1).speech_end_ms()

    assert end_ms == pytest.approx(1000, abs=10)


def test_a_click_after_the_words_is_no_speech() -> None:
    pcm = tone(0.5) + tone(0.5, level=0) + tone(0.005) + tone(0.5, level=0)

    assert Recording(pcm=pcm, rate_hz=16_000, channels=1).speech_end_ms() == pytest.approx(500, abs=10)


@pytest.mark.parametrize("pcm", [bytes(32_000), bytes(100)])
def test_silence_has_no_end_of_speech(pcm: bytes) -> None:
    assert Recording(pcm=pcm, rate_hz=16_000, channels=1).speech_end_ms() is None


async def test_a_recording_is_played_at_the_pace_of_speech_and_then_silence_follows() -> None:
    pcm = tone(0.255)
    source = PlayedRecording(Recording(pcm=pcm, rate_hz=16_000, channels=1), tail_seconds=0.1)

    begun = time.monotonic()
    frames = [frame async for frame in source.frames()]
    lasted = time.monotonic() - begun

    assert {len(frame) for frame in frames} == {320}
    assert b"".join(frames) == pcm + bytes(36 * 320 - len(pcm))
    assert lasted >= 0.35
    assert source.started_at is not None
    assert source.speech_ended_at == pytest.approx(source.started_at + 0.255, abs=0.011)


async def test_a_late_frame_does_not_delay_those_after_it() -> None:
    source = PlayedRecording(Recording(pcm=tone(0.3), rate_hz=16_000, channels=1), tail_seconds=0)

    begun = time.monotonic()
    async for _ in source.frames():
        time.sleep(0.008)  # noqa: ASYNC251  # a busy loop, as on a loaded machine

    # 30 frames with 8 ms each on top would take 540 ms.
    assert time.monotonic() - begun < 0.5


async def test_a_reply_is_a_whole_wav_file_once_it_ended(tmp_path: Path) -> None:
    path = tmp_path / "reply.wav"
    file = WavFile(path)

    await file.start(22_050, 1)
    await file.write(tone(0.1))
    await file.write(tone(0.2))
    await file.close()

    assert read_wav(path) == (22_050, 1, tone(0.1) + tone(0.2))


def test_without_a_reply_no_file_is_made(tmp_path: Path) -> None:
    asyncio.run(WavFile(tmp_path / "reply.wav").close())

    assert list(tmp_path.iterdir()) == []


async def test_a_reply_that_cannot_be_written_is_refused_in_words(tmp_path: Path) -> None:
    with pytest.raises(SettingsError, match="there is no folder"):
        WavFile(tmp_path / "none" / "reply.wav")
    with pytest.raises(SettingsError, match="Cannot write"):
        await WavFile(tmp_path).start(16_000, 1)
