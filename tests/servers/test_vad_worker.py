"""The VAD worker as a process of its own, with real Silero and spoken words."""

import asyncio

import pytest
from wyoming.event import Event
from wyoming.info import Describe, Info

from tests.support.speaker import Speaker
from tests.support.utterance import audio, convert, silence, stop
from tests.support.worker_process import WorkerProcess
from tests.support.wyoming_client import ask, receive_until, send_all
from wyoming_servers.wire.client import Client


@pytest.fixture(scope="module", params=["silero", "energy", "auto"])
def worker(request, tmp_path_factory):
    worker = WorkerProcess("vad", tmp_path_factory.mktemp("vad"), "--engine", request.param)
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def spoken() -> bytes:
    """Half a second of silence, then words."""
    return Speaker()("turn on the lights in the living room")


async def speech(client: Client, *events: Event, times: int = 1) -> list[float]:
    """Send audio and return the positions of so many starts and stops, which must alternate."""
    await send_all(client, list(events))
    answers: list[Event] = []
    for _ in range(times):
        answers += await receive_until(client, "voice-stopped", "error")
    assert [event.type for event in answers] == ["voice-started", "voice-stopped"] * times
    return [event.data["timestamp"] for event in answers]


def end_ms(pcm: bytes) -> float:
    return len(pcm) / 32


async def test_speech_has_a_start_and_a_stop(worker, spoken):
    async with Client(worker.uri) as client:
        started, stopped = await speech(client, *audio(spoken + silence(1)))
        assert started == pytest.approx(500, abs=130)
        assert stopped == pytest.approx(end_ms(spoken), abs=400)


async def test_one_stream_holds_any_number_of_utterances(worker, spoken):
    async with Client(worker.uri) as client:
        pcm = spoken + silence(1)
        times = await speech(client, *audio(pcm * 4), times=4)
        assert times == sorted(times)
        for number, started in enumerate(times[::2]):
            assert started == pytest.approx(500 + number * end_ms(pcm), abs=130)


async def test_every_stream_begins_at_zero(worker, spoken):
    async with Client(worker.uri) as client:
        pcm = spoken + silence(1)
        first = await speech(client, *audio(pcm), stop())
        assert await speech(client, *audio(pcm), stop()) == first
        assert await speech(client, *audio(pcm)) == first
        assert await speech(client, *audio(pcm)) == first


async def test_streams_are_heard_one_after_the_other(worker, spoken):
    async with Client(worker.uri) as client:
        long = audio((spoken + silence(1)) * 3, milliseconds=9_000)
        times = await speech(client, *long, stop(), *audio(spoken, milliseconds=9_000), stop(), times=4)
        assert times[4] > times[2] > times[6]


async def test_end_of_the_audio_is_the_end_of_speech(worker, spoken):
    async with Client(worker.uri) as client:
        _, stopped = await speech(client, *audio(spoken[: len(spoken) // 4 * 2]), stop())
        assert stopped <= end_ms(spoken) / 2 + 32


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (44_100, 2), (48_000, 1)])
async def test_any_format_is_heard(worker, spoken, rate_hz, channels):
    async with Client(worker.uri) as client:
        pcm = convert(spoken + silence(1), rate_hz, channels)
        started, _ = await speech(client, *audio(pcm, rate_hz=rate_hz, channels=channels, starts=False))
        assert started == pytest.approx(500, abs=130)


async def test_silence_says_nothing(worker, spoken):
    async with Client(worker.uri) as client:
        await send_all(client, [*audio(silence(3)), stop()])
        started, _ = await speech(client, *audio(spoken), stop())
        assert started == pytest.approx(500, abs=130)


async def test_other_formats_and_parts_of_frames_are_refused(worker):
    for bad in (bytes(321), bytes(319)):
        async with Client(worker.uri) as client:
            await client.send(Event("audio-chunk", {"rate": 16_000, "width": 2, "channels": 1}, bad))
            (error,) = await receive_until(client, "error")
            assert error.data["code"] == "bad-audio"
    async with Client(worker.uri) as client:
        await send_all(client, [*audio(silence(0.1)), *audio(silence(0.1), rate_hz=8_000, starts=False)])
        (error,) = await receive_until(client, "error")
        assert error.data["code"] == "bad-audio"


async def test_describe_is_answered_though_info_has_no_place_for_detectors(worker):
    (answer,) = await ask(worker.uri, Describe(), "info")
    assert Info.from_event(answer) == Info()


async def test_ten_minutes_at_once_are_heard_piece_by_piece(worker, spoken):
    minute = audio((spoken + silence(1)) * 3, milliseconds=2_000, starts=False)
    before = worker.memory_bytes
    async with Client(worker.uri) as flooding, Client(worker.uri) as client:
        sending = asyncio.create_task(send_all(flooding, minute * 60))
        reading = asyncio.create_task(speech(flooding, times=180))
        await asyncio.wait_for(speech(client, *audio(spoken), stop()), 20)
        await sending
        await reading
    assert worker.memory_bytes - before < 40 * 1024 * 1024
