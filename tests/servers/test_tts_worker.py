"""The tts worker, a real process on a real socket: both forms, short before long, gone when the client is."""

import asyncio
import time

import psutil
import pytest
from wyoming.audio import AudioStart
from wyoming.error import Error
from wyoming.event import Event
from wyoming.tts import (
    Synthesize,
    SynthesizeChunk,
    SynthesizeStart,
    SynthesizeStop,
    SynthesizeVoice,
)

from tests.support.piper_voice import write_piper_voice
from tests.support.raw_wire import event as raw_event, exchange
from tests.support.worker_process import WorkerProcess
from wyoming_servers.engines.base import EngineOptions
from wyoming_servers.engines.scripted import ScriptedTts
from wyoming_servers.engines.table import Task, find_row
from wyoming_servers.errors import SettingsError
from wyoming_servers.wire.client import Client, describe
from wyoming_servers.wire.limits import Limits
from wyoming_servers.wire.server import Server
from wyoming_servers.workers.tts import TtsService

SENTENCE = "The kitchen light is on."
ONE_SHOT_END, STREAM_END = "audio-stop", "synthesize-stopped"


@pytest.fixture(scope="module", params=["scripted", "espeak", "piper"])
def worker(request, tmp_path_factory):
    folder = tmp_path_factory.mktemp(request.param)
    model = write_piper_voice(folder / "models").name
    arguments = ("--model", model) if request.param == "piper" else ()
    process = WorkerProcess("tts", folder, "--engine", request.param, *arguments)
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log
    assert "kitchen" not in process.log


@pytest.fixture(scope="module")
def slow(tmp_path_factory):
    """A worker that takes 20 ms for each of the 50 ms it makes."""
    process = WorkerProcess("tts", tmp_path_factory.mktemp("slow"), HEARTH_SCRIPT_TTS_DELAY_MS="20")
    yield process
    assert process.stop() == 0
    assert "Traceback" not in process.log


async def answer(client: Client, end: str) -> list[Event]:
    """Return every event up to the one of type `end`, or an error."""
    events = []
    async with asyncio.timeout(30):
        while not events or events[-1].type not in {end, "error"}:
            events.append(await client.expect())
    return events


async def say(client: Client, text: str, **voice: str) -> list[Event]:
    await client.send(Synthesize(text=text, voice=SynthesizeVoice(**voice) if voice else None))
    return await answer(client, ONE_SHOT_END)


async def stream(client: Client, *texts: str) -> list[Event]:
    """Say a text in pieces as Home Assistant does, the whole text at the end for servers that know no streams."""
    await client.send(SynthesizeStart())
    for text in texts:
        await client.send(SynthesizeChunk(text=text))
    await client.send(Synthesize(text="".join(texts)))
    await client.send(SynthesizeStop())
    return await answer(client, STREAM_END)


def sound(events: list[Event]) -> bytes:
    return b"".join(event.payload or b"" for event in events if event.type == "audio-chunk")


def shape(events: list[Event]) -> list[str]:
    """Return the types of events, a run of chunks as one."""
    types = [event.type for event in events]
    return [kind for index, kind in enumerate(types) if kind != "audio-chunk" or types[index - 1] != kind]


async def refusal(uri: str, *events: Event) -> Error:
    """Return the error that answers these events; the connection must be closed after it."""
    sent = b"".join(raw_event(event.type, event.data) for event in events)
    received = await exchange(uri, sent)
    assert received[-1].type == "error"
    assert [event.type for event in received].count("error") == 1
    return Error.from_event(received[-1])


async def test_info_has_voices_and_says_that_text_can_be_streamed(worker):
    (program,) = (await describe(worker.uri)).tts
    assert program.supports_synthesize_streaming
    assert program.installed
    assert program.voices
    assert all(voice.installed and voice.languages for voice in program.voices)


async def test_a_text_is_said_in_one_stream_of_audio(worker):
    async with Client(worker.uri) as client:
        events = await say(client, f"{SENTENCE} {SENTENCE}")
    assert shape(events) == ["audio-start", "audio-chunk", "audio-stop"]
    start = AudioStart.from_event(events[0])
    assert (start.width, start.channels) == (2, 1)
    pcm = sound(events)
    assert len(pcm) / 2 / start.rate > 0.8
    assert max(pcm) > 0
    chunks = [event for event in events if event.type == "audio-chunk"]
    assert all(0 < len(chunk.payload) <= 4096 and len(chunk.payload) % 2 == 0 for chunk in chunks)
    assert {(chunk.data["rate"], chunk.data["width"], chunk.data["channels"]) for chunk in chunks} == {
        (start.rate, 2, 1)
    }


async def test_a_stream_of_text_is_one_stream_of_audio(worker):
    async with Client(worker.uri) as client:
        events = await stream(client, "The kit", "chen light", " is on. The ", "oven is", " off.")
        whole = await say(client, "The kitchen light is on. The oven is off.")
    assert shape(events) == ["audio-start", "audio-chunk", "audio-stop", "synthesize-stopped"]
    assert len(sound(events)) == pytest.approx(len(sound(whole)), rel=0.05)


async def test_both_forms_work_again_and_again_on_one_connection(worker):
    async with Client(worker.uri) as client:
        for _ in range(2):
            assert shape(await say(client, SENTENCE)) == ["audio-start", "audio-chunk", "audio-stop"]
            assert shape(await stream(client, SENTENCE)) == [
                "audio-start",
                "audio-chunk",
                "audio-stop",
                "synthesize-stopped",
            ]


async def test_the_first_sentence_is_said_before_the_second_is_written(worker):
    async with Client(worker.uri) as client:
        await client.send(SynthesizeStart())
        await client.send(SynthesizeChunk(text=f"{SENTENCE} And"))
        async with asyncio.timeout(20):
            while (await client.expect()).type != "audio-chunk":
                pass
        await client.send(SynthesizeChunk(text=" the oven is off."))
        await client.send(SynthesizeStop())
        assert sound(await answer(client, STREAM_END))


@pytest.mark.parametrize("text", ["", " ", "...", "\u200b", "\n\n", "🙂", "**"])
async def test_a_text_without_words_has_an_answer_without_sound(worker, text):
    async with Client(worker.uri) as client:
        assert shape(await say(client, text)) == ["audio-start", "audio-stop"]
        assert shape(await stream(client, text)) == ["audio-start", "audio-stop", "synthesize-stopped"]
        assert sound(await say(client, SENTENCE))


async def test_a_stream_without_text_has_an_answer_without_sound(worker):
    async with Client(worker.uri) as client:
        await client.send(SynthesizeStart())
        await client.send(SynthesizeStop())
        assert shape(await answer(client, STREAM_END)) == ["audio-start", "audio-stop", "synthesize-stopped"]


async def test_a_whole_text_is_enough_within_a_stream(worker):
    async with Client(worker.uri) as client:
        await client.send(SynthesizeStart())
        await client.send(Synthesize(text=SENTENCE))
        await client.send(SynthesizeStop())
        assert sound(await answer(client, STREAM_END))


async def test_requests_sent_at_once_are_answered_in_order(worker):
    async with Client(worker.uri) as client:
        for text in ("One.", "One two three four five six.", "One."):
            await client.send(Synthesize(text=text))
        first, second, third = [sound(await answer(client, ONE_SHOT_END)) for _ in range(3)]
    assert len(first) == pytest.approx(len(third), rel=0.1)
    assert len(second) > 2 * len(first)


@pytest.mark.parametrize("name", ["nobody", "", "../../../etc/passwd", "/etc/passwd", "models/en_US-tiny-low.onnx"])
async def test_an_unknown_voice_is_refused_and_never_a_path(worker, name):
    error = await refusal(worker.uri, Event("synthesize", {"text": SENTENCE, "voice": {"name": name}}))
    assert error.code == "unknown-voice"
    assert "passwd" not in error.text


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "bad-text"),
        ({"text": None}, "bad-text"),
        ({"text": 7}, "bad-text"),
        ({"text": "\ud800"}, "bad-text"),
        ({"text": "a" * 8_001}, "bad-text"),
        ({"text": "hi", "voice": "en"}, "bad-voice"),
        ({"text": "hi", "voice": {"name": 5}}, "bad-voice"),
        ({"text": "hi", "voice": {"language": ["en"]}}, "bad-voice"),
        ({"text": "hi", "voice": {"language": "tlh"}}, "unknown-voice"),
        ({"text": "hi", "voice": {"speaker": "nobody"}}, "unknown-speaker"),
        ({"text": "<speak>hi</speak>", "text_format": "ssml"}, "unsupported"),
        ({"text": "hi", "text_format": 5}, "unsupported"),
        ({"text": "hi", "text_format": {}}, "unsupported"),
        ({"text": "hi " * 32_000}, "too-large"),
    ],
)
async def test_a_request_that_cannot_be_is_refused(worker, data, code):
    assert (await refusal(worker.uri, Event("synthesize", data))).code == code


@pytest.mark.parametrize(
    ("types", "code"),
    [
        (["synthesize-chunk"], "out-of-order"),
        (["synthesize-stop"], "out-of-order"),
        (["synthesize-start", "synthesize-start"], "out-of-order"),
        (["synthesize-start", "synthesize-stop", "synthesize-chunk"], "out-of-order"),
        (["synthesize-start", *["synthesize-chunk"] * 9], "bad-text"),
        (["synthesize"] * 100, "busy"),
    ],
)
async def test_events_out_of_order_or_bounds_are_refused(worker, types, code):
    events = [Event(kind, {"text": "word " * 200} if kind.startswith("synthesize") else {}) for kind in types]
    assert (await refusal(worker.uri, *events)).code == code


async def test_a_voice_is_found_by_its_language(worker):
    (program,) = (await describe(worker.uri)).tts
    voice = next(voice for voice in program.voices if "en" in voice.languages)
    async with Client(worker.uri) as client:
        for wanted in ("en", "en-US", "en_US", "EN-us"):
            assert sound(await say(client, SENTENCE, language=wanted))
        assert sound(await say(client, SENTENCE, name=voice.name))


async def test_a_short_text_is_not_behind_a_long_one(slow):
    async with Client(slow.uri) as talker, Client(slow.uri) as other, Client(slow.uri) as client:
        for long in (talker, other):
            await long.send(Synthesize(text="word " * 100))  # 8 s of work each, on two threads
            while (await long.expect()).type != "audio-chunk":
                pass
        began = time.monotonic()
        assert sound(await say(client, "Short."))
        assert time.monotonic() - began < 2


async def test_describe_is_not_behind_anything(slow):
    async with Client(slow.uri) as talker:
        await talker.send(Synthesize(text="word " * 100))
        await talker.expect()
        began = time.monotonic()
        await describe(slow.uri)
        assert time.monotonic() - began < 1


async def test_nothing_is_made_for_a_client_that_is_gone(slow):
    clients = [Client(slow.uri) for _ in range(8)]
    for client in clients:
        async with client:
            await client.send(Synthesize(text="word " * 400))  # 32 s of work each
            while (await client.expect()).type != "audio-chunk":
                pass
    async with Client(slow.uri) as client:
        began = time.monotonic()
        assert sound(await say(client, "Short."))
        assert time.monotonic() - began < 2


async def test_a_gone_client_costs_no_more_time_of_the_processor(tmp_path):
    worker = WorkerProcess("tts", tmp_path, "--engine", "espeak")
    try:
        async with Client(worker.uri) as client:
            # Sent faster than it is taken: the socket's buffers are full, the worker waits for us.
            await client.send(Synthesize(text="word " * 1_600))
            while (await client.expect()).type != "audio-chunk":
                pass
        await asyncio.sleep(0.5)
        process = psutil.Process(worker.process.pid)
        before = process.cpu_times()
        await asyncio.sleep(1)
        after = process.cpu_times()
        assert after.user + after.system - before.user - before.system < 0.3
        async with Client(worker.uri) as client:
            assert sound(await say(client, SENTENCE))
    finally:
        assert worker.stop() == 0


async def test_an_engine_that_fails_is_an_error_and_not_silence(slow):
    error = await refusal(slow.uri, Event("synthesize", {"text": "say !fail now"}))
    assert error.code == "engine-failed"
    async with Client(slow.uri) as client:
        assert sound(await say(client, "fine"))


async def test_eight_clients_get_the_same_sound_as_one(worker):
    async def one() -> int:
        async with Client(worker.uri) as client:
            return len(sound(await say(client, f"{SENTENCE} {SENTENCE}")))

    alone = await one()
    sizes = await asyncio.gather(*(one() for _ in range(8)))
    assert sizes == pytest.approx([alone] * 8, rel=0.15)


async def test_a_stream_left_open_does_not_hold_its_connection_for_ever():
    service = TtsService(ScriptedTts(), find_row(Task.TTS, "scripted"), "scripted")
    server = Server(service.handler, Limits(idle_seconds=0.2))
    await server.start("tcp://127.0.0.1:0")
    try:
        async with Client(server.uri) as client:
            await client.send(SynthesizeStart())
            events = await answer(client, STREAM_END)
        assert Error.from_event(events[-1]).code == "idle"
    finally:
        await server.stop()


def test_a_default_voice_that_is_not_there_is_refused():
    with pytest.raises(SettingsError, match="no voice 'nobody'"):
        TtsService(ScriptedTts(EngineOptions()), find_row(Task.TTS, "scripted"), "scripted", default_voice="nobody")


async def test_the_default_voice_speaks_when_none_is_asked_for(tmp_path):
    worker = WorkerProcess("tts", tmp_path, "--engine", "espeak", "--voice", "de")
    try:
        async with Client(worker.uri) as client:
            plain = sound(await say(client, "Garage und Küche"))
            german = sound(await say(client, "Garage und Küche", name="de"))
            french = sound(await say(client, "Garage und Küche", name="fr"))
        assert len(plain) == pytest.approx(len(german), rel=0.01)
        assert len(plain) != pytest.approx(len(french), rel=0.01)
    finally:
        worker.stop()
