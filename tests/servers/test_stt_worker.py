"""The STT worker as a process of its own: real sockets, real Silero, spoken words; the transcripts are scripted."""

import asyncio
import time

import pytest
from wyoming.asr import Transcribe
from wyoming.audio import AudioChunk
from wyoming.event import Event
from wyoming.info import Describe, Info

from tests.support.speaker import Speaker
from tests.support.utterance import audio, convert, find, silence, stop, text, transcribe, turn
from tests.support.worker_process import WorkerProcess
from tests.support.wyoming_client import ask, receive_until, send_all
from wyoming_servers.wire.client import Client
from wyoming_servers.wire.limits import Limits

WORDS = "turn on the lights in the living room"
WHOLE_TURN = ["voice-started", "voice-stopped", "transcript", "transcript-stop"]


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    worker = WorkerProcess("stt", tmp_path_factory.mktemp("stt"), HEARTH_SCRIPT_STT=f"{WORDS} right now please")
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def speaker():
    return Speaker()


@pytest.fixture(scope="module")
def spoken(speaker) -> bytes:
    """Half a second of silence, then words."""
    return speaker(WORDS)


async def speak(client: Client, events: list[Event]) -> None:
    """Send 10 ms chunks a little faster than they are spoken."""
    for number, event in enumerate(events):
        await client.send(event)
        if number % 10 == 0:
            await asyncio.sleep(0.06)


def seconds(pcm: bytes) -> float:
    return len(pcm) / 32_000


async def test_words_come_while_they_are_spoken_and_the_server_ends_the_turn(worker, spoken):
    events = audio(spoken + silence(3))
    async with Client(worker.uri) as client:
        sending = asyncio.create_task(speak(client, events))
        heard = await receive_until(client, "transcript-stop", "error")
        assert not sending.done()
        await sending
    names = [event.type for event in heard]
    assert names[:2] == ["voice-started", "transcript-start"]
    assert names.index("transcript-chunk") < names.index("voice-stopped")
    assert names[-3:] == ["transcript-chunk", "transcript", "transcript-stop"]
    assert "".join(event.data["text"] for event in heard if event.type == "transcript-chunk") == text(heard)


async def test_positions_are_those_in_the_stream(worker, spoken):
    async with Client(worker.uri) as client:
        heard = await transcribe(client, *audio(spoken + silence(3)), language="en")
        assert text(heard) == f"{WORDS} right now please"
        assert find(heard, "voice-started").data["timestamp"] == pytest.approx(500, abs=100)
        stopped_ms = find(heard, "voice-stopped").data["timestamp"]
        assert stopped_ms == pytest.approx(1000 * seconds(spoken), abs=350)


async def test_audio_after_the_turn_is_ignored_until_the_next_begins(worker, spoken):
    async with Client(worker.uri) as client:
        for _ in range(3):
            assert turn(await transcribe(client, *audio(spoken + silence(1) + spoken + silence(1)))) == WHOLE_TURN
            await send_all(client, [*audio(spoken, starts=False), stop()])
        await client.send(Describe())
        assert (await client.expect()).type == "info"


async def test_client_may_end_the_audio_itself(worker, spoken):
    async with Client(worker.uri) as client:
        for _ in range(2):
            heard = await transcribe(client, *audio(spoken), stop())
            assert (heard[0].type, text(heard)) == ("voice-started", f"{WORDS} right now please")
            assert find(heard, "voice-stopped").data["timestamp"] <= 1000 * seconds(spoken) + 32


async def test_first_chunk_begins_an_utterance_of_its_own_format(worker, spoken):
    async with Client(worker.uri) as client:
        await send_all(client, audio(convert(spoken + silence(1), 22_050, 1), rate_hz=22_050, starts=False))
        assert turn(await receive_until(client, "transcript-stop", "error")) == WHOLE_TURN


@pytest.mark.parametrize(("rate_hz", "channels"), [(8_000, 1), (16_000, 2), (44_100, 2), (48_000, 2)])
async def test_any_format_is_heard_the_same(worker, spoken, rate_hz, channels):
    pcm = convert(spoken + silence(1), rate_hz, channels)
    async with Client(worker.uri) as client:
        heard = await transcribe(client, *audio(pcm, rate_hz=rate_hz, channels=channels))
        assert text(heard) == f"{WORDS} right now please"
        assert find(heard, "voice-started").data["timestamp"] == pytest.approx(500, abs=100)


@pytest.mark.parametrize("milliseconds", [1, 20, 2_000])
async def test_size_of_the_chunks_changes_nothing(worker, spoken, milliseconds):
    async with Client(worker.uri) as client:
        heard = await transcribe(client, *audio(spoken + silence(1), milliseconds=milliseconds))
        assert find(heard, "voice-started").data["timestamp"] == pytest.approx(500, abs=100)
        assert text(heard) == f"{WORDS} right now please"


@pytest.mark.parametrize("word", ["stop", "yes", "aus"])
async def test_one_word_is_a_whole_turn(worker, speaker, word):
    async with Client(worker.uri) as client:
        heard = await transcribe(client, *audio(speaker(word)[12_000:] + silence(2)))
        assert find(heard, "voice-started").data["timestamp"] < 400
        assert text(heard)


async def test_nothing_said_is_an_empty_transcript(worker):
    async with Client(worker.uri) as client:
        heard = await transcribe(client, *audio(silence(9), milliseconds=100))
        assert [event.type for event in heard] == ["transcript-start", "transcript", "transcript-stop"]
        assert text(heard) == ""
        assert text(await transcribe(client, *audio(silence(0.5)), stop())) == ""
        assert text(await transcribe(client, *audio(b""), stop())) == ""


async def test_sensitivity_is_how_long_a_pause_may_be(worker, spoken):
    pcm = spoken + silence(0.1) + spoken + silence(2)
    stopped_ms = {}
    async with Client(worker.uri) as client:
        for sensitivity in ("aggressive", "default", "relaxed", "of a later version"):
            heard = await transcribe(client, *audio(pcm), vad_sensitivity=sensitivity)
            stopped_ms[sensitivity] = find(heard, "voice-stopped").data["timestamp"]
    assert stopped_ms["aggressive"] == stopped_ms["default"] == stopped_ms["of a later version"]
    assert stopped_ms["default"] < 1000 * seconds(spoken) + 350
    assert stopped_ms["relaxed"] > 2 * 1000 * seconds(spoken) - 350


async def test_context_and_language_come_back(worker, spoken):
    async with Client(worker.uri) as client:
        context = {"conversation_id": "1", "more": [1, None]}
        heard = await transcribe(client, *audio(spoken), stop(), language="de-AT", context=context)
        assert find(heard, "transcript").data["context"] == context
        assert find(heard, "transcript-start").data["context"] == context
        assert find(heard, "transcript").data["language"] == "de"


async def test_info_says_that_the_server_ends_the_turn(worker):
    (answer,) = await ask(worker.uri, Describe(), "info")
    (program,) = Info.from_event(answer).asr
    assert not program.requires_external_vad
    assert not program.prefers_auto_gain_enabled
    assert not program.prefers_noise_reduction_enabled
    assert program.supports_transcript_streaming
    assert program.models[0].languages == ["en", "de", "fr", "es"]


async def test_unknown_language_is_refused_with_those_there_are(worker, spoken):
    async with Client(worker.uri) as client:
        (error,) = await transcribe(client, *audio(spoken), language="tlh")
        assert error.data["code"] == "unsupported-language"
        assert error.data["text"] == "The language 'tlh' is not supported. Supported: en, de, fr, es."
        assert await client.receive() is None


@pytest.mark.parametrize(
    ("request_data", "code"),
    [
        ({"language": 5}, "bad-text"),
        ({"language": "e" * 101}, "bad-text"),
        ({"language": ""}, "unsupported-language"),
        ({"name": "../../etc/passwd"}, "unknown-model"),
        ({"context": "c"}, "bad-request"),
        ({"vad_sensitivity": ["relaxed"]}, "bad-text"),
        ({"transcript_names": "Kitchen"}, "bad-request"),
        ({"transcript_names": [1]}, "bad-text"),
        ({"transcript_names": ["n" * 101]}, "bad-text"),
        ({"transcript_terms": ["t"] * 2_001}, "too-large"),
    ],
)
async def test_request_that_makes_no_sense_is_refused(worker, request_data, code):
    (error,) = await ask(worker.uri, Event(type="transcribe", data=request_data))
    assert (error.type, error.data["code"]) == ("error", code)


async def test_names_and_terms_are_taken(worker, spoken):
    async with Client(worker.uri) as client:
        names = [f"Lamp {number}" for number in range(2_000)]
        heard = await transcribe(
            client, *audio(spoken), stop(), name="scripted", transcript_names=names, transcript_terms=["", "lumen"]
        )
        assert text(heard)


def chunk(pcm: bytes, **form: object) -> Event:
    event = AudioChunk(rate=16_000, width=2, channels=1, audio=pcm).event()
    return Event(type=event.type, data={**event.data, **form}, payload=pcm)


@pytest.mark.parametrize(
    "bad",
    [
        chunk(bytes(320), rate=8_000),
        chunk(bytes(320), channels=2),
        chunk(bytes(320), width=4),
        chunk(bytes(320), rate=None),
        chunk(bytes(321)),
        Event(type="audio-chunk", data={}, payload=bytes(320)),
        Event(type="audio-start", data={"rate": 16_000, "width": 3, "channels": 1}),
        Event(type="audio-start", data={"rate": 96_000, "width": 2, "channels": 1}),
        Event(type="audio-start", data={"rate": "16000", "width": 2, "channels": 1}),
    ],
)
async def test_audio_that_cannot_be_right_is_refused_in_the_middle_of_an_utterance(worker, spoken, bad):
    async with Client(worker.uri) as client:
        heard = await transcribe(client, *audio(spoken[:32_000]), bad)
        assert (heard[-1].type, heard[-1].data["code"]) == ("error", "bad-audio")
        assert await client.receive() is None


async def test_empty_chunks_are_nothing(worker, spoken):
    async with Client(worker.uri) as client:
        empty = [chunk(b"")] * 10
        assert text(await transcribe(client, *empty, *audio(spoken), *empty, stop()))


async def test_client_that_begins_anew_gets_one_transcript(worker, spoken):
    async with Client(worker.uri) as client:
        await send_all(client, audio(spoken[: len(spoken) // 4 * 2]))
        heard = await transcribe(client, *audio(spoken), stop())
        await client.send(Describe())
        rest = await receive_until(client, "info")
        assert [event.type for event in heard + rest].count("transcript") == 1


async def test_flood_changes_nothing_for_others(worker, spoken):
    async with Client(worker.uri) as flooding, Client(worker.uri) as client:
        flood = audio(spoken + silence(1) + bytes(32_000 * 120), milliseconds=100)
        sending = asyncio.create_task(send_all(flooding, [Transcribe().event(), *flood, *flood]))
        began = time.monotonic()
        assert text(await transcribe(client, *audio(spoken + silence(1))))
        assert time.monotonic() - began < 10
        assert text(await receive_until(flooding, "transcript-stop", "error"))
        await sending


async def test_disconnect_in_mid_utterance_leaves_nothing_behind(worker, spoken):
    for _ in range(20):
        async with Client(worker.uri) as client:
            await send_all(client, [Transcribe().event(), *audio(spoken)])
    async with Client(worker.uri) as client:
        assert text(await transcribe(client, *audio(spoken + silence(1))))
    assert "ERROR" not in worker.log
    assert "Traceback" not in worker.log


async def test_speech_is_never_logged(worker, spoken):
    async with Client(worker.uri) as client:
        assert text(await transcribe(client, *audio(spoken), stop(), transcript_names=["Grandmother's lamp"]))
    assert "living room" not in worker.log
    assert "Grandmother" not in worker.log


async def test_failing_engine_is_an_error_and_the_next_turn_works(tmp_path, spoken):
    worker = WorkerProcess("stt", tmp_path, HEARTH_SCRIPT_STT="!fail|!fail-early|lights on")
    try:
        for _ in range(2):
            async with Client(worker.uri) as client:
                heard = await transcribe(client, *audio(spoken + silence(1)))
                assert (heard[-1].type, heard[-1].data["code"]) == ("error", "engine-failed")
                assert await client.receive() is None
        async with Client(worker.uri) as client:
            assert text(await transcribe(client, *audio(spoken + silence(1)))) == "lights on"
    finally:
        worker.stop()


async def test_engine_without_partials_says_all_at_once(tmp_path, spoken):
    worker = WorkerProcess("stt", tmp_path, HEARTH_SCRIPT_STT_PARTIALS="0", HEARTH_SCRIPT_STT="lights on")
    try:
        async with Client(worker.uri) as client:
            heard = await transcribe(client, *audio(spoken + silence(1)))
            assert turn(heard) == WHOLE_TURN
            assert [event.data["text"] for event in heard if event.type == "transcript-chunk"] == ["lights on"]
    finally:
        worker.stop()


async def test_slow_engine_delays_no_end_of_turn_and_mixes_up_no_answers(tmp_path, spoken):
    worker = WorkerProcess("stt", tmp_path, HEARTH_SCRIPT_STT="one|two|three|four", HEARTH_SCRIPT_STT_DELAY_MS="1500")
    try:
        async with Client(worker.uri) as busy, Client(worker.uri) as gone, Client(worker.uri) as client:
            for other in (busy, gone):
                await send_all(other, [*audio(spoken), stop()])
                await receive_until(other, "voice-stopped")
            await send_all(client, [*audio(spoken), stop(), *audio(spoken), stop()])
            began = time.monotonic()
            await receive_until(client, "voice-stopped")
            assert time.monotonic() - began < 1
            await ask(worker.uri, Describe(), "info")
            assert time.monotonic() - began < 1.2
            await gone.__aexit__(None, None, None)
            answers = [text(await receive_until(client, "transcript-stop")) for _ in range(2)]
            assert answers == ["three", "four"]
            assert text(await receive_until(busy, "transcript-stop")) == "one"
    finally:
        worker.stop()


async def test_too_many_waiting_utterances_are_refused(tmp_path, spoken):
    worker = WorkerProcess("stt", tmp_path, HEARTH_SCRIPT_STT_DELAY_MS="1000")
    try:
        async with Client(worker.uri) as client:
            heard = await transcribe(client, *([*audio(spoken[:48_000], milliseconds=100), stop()] * 6))
            assert (heard[-1].type, heard[-1].data["code"]) == ("error", "too-many")
    finally:
        worker.stop()


async def test_noise_that_never_ends_is_not_taken_for_ever(worker, spoken):
    began = time.monotonic()
    async with Client(worker.uri) as client:
        heard = await transcribe(client, *audio((spoken * 30)[: 32_000 * 60], milliseconds=500))
        assert find(heard, "voice-stopped").data["timestamp"] <= 40_000
    assert time.monotonic() - began < Limits().utterance_seconds
