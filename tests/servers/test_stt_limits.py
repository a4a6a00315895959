"""Bounds of the STT worker, at a server in this process whose limits are small."""

import asyncio
import logging
import time

import numpy as np
import pytest
from wyoming.asr import Transcribe

from tests.support.utterance import RATE_HZ, audio, find, silence, stop, text, transcribe, turn
from tests.support.wav import tone
from tests.support.wyoming_client import receive_until, send_all
from wyoming_servers.engines.base import EngineOptions, SttRequest, SttResult
from wyoming_servers.engines.scripted import ScriptedStt, ScriptedSttStream, ScriptedVad
from wyoming_servers.engines.table import Task, find_row
from wyoming_servers.engines.vad.steady import SteadyVad
from wyoming_servers.errors import RequestError
from wyoming_servers.speech.audio import AudioFormat
from wyoming_servers.wire.client import Client
from wyoming_servers.wire.limits import Limits
from wyoming_servers.wire.server import Server
from wyoming_servers.workers.audio_feed import AudioFeed
from wyoming_servers.workers.stt import SttService
from wyoming_servers.workers.transcribe import match_language

LIMITS = Limits(utterance_seconds=2)
FORM = {"rate": RATE_HZ, "width": 2, "channels": 1}


class WilfulStt(ScriptedStt):
    """An engine that does what the first name of a request says."""

    def stream(self, request: SttRequest) -> ScriptedSttStream:
        stream = super().stream(request)
        said = iter(["turn of", "turn off", "turn on", "turn on the light"])
        finish = stream.finish

        def fail(*_: object) -> None:
            raise KeyError(*request.names)

        def wait() -> SttResult:
            time.sleep(0.7)
            return finish()

        def change(_samples: object) -> str | None:
            return next(said, None)

        if request.names == ("break",):
            stream.finish = fail  # type: ignore[method-assign]
        elif request.names == ("wait",):
            stream.finish = wait  # type: ignore[method-assign]
        elif request.names == ("change",):
            stream.feed = change  # type: ignore[method-assign]
            stream.finish = lambda: SttResult(text="turn on the light")  # type: ignore[method-assign]
        return stream


@pytest.fixture
async def uri():
    service = SttService(WilfulStt(), find_row(Task.STT, "scripted"), "scripted", EngineOptions())
    service.vad = SteadyVad(ScriptedVad())
    service.prime()
    server = Server(service.handler, LIMITS)
    await server.start("tcp://127.0.0.1:0")
    yield server.uri
    await server.stop()


async def test_utterance_over_the_limit_is_refused(uri):
    async with Client(uri) as client:
        heard = await transcribe(client, *audio(tone(3)))
        assert (heard[-1].type, heard[-1].data["code"]) == ("error", "too-long")
        assert await client.receive() is None


async def test_turn_that_ended_before_the_limit_is_answered(uri):
    async with Client(uri) as client:
        heard = await transcribe(client, *audio(tone(1) + silence(1) + tone(3)))
        assert turn(heard) == ["voice-started", "voice-stopped", "transcript", "transcript-stop"]
        assert find(heard, "voice-stopped").data["timestamp"] == pytest.approx(1_000, abs=33)
        assert text(await transcribe(client, *audio(tone(1)), stop())) == "heard 1000 ms"


async def test_engine_hears_all_of_the_words(uri):
    async with Client(uri) as client:
        assert text(await transcribe(client, *audio(silence(0.5) + tone(0.7)), stop())) == "heard 700 ms"
        assert text(await transcribe(client, *audio(tone(0.7) + silence(0.2) + tone(0.7)), stop())) == "heard 1400 ms"


async def test_fault_inside_an_engine_is_a_plain_sentence(uri, caplog):
    async with Client(uri) as client:
        with caplog.at_level(logging.INFO):
            heard = await transcribe(client, *audio(tone(1)), stop(), transcript_names=["break"])
        assert (heard[-1].type, heard[-1].data["code"]) == ("error", "engine-failed")
        assert "KeyError" not in heard[-1].data["text"]
        assert [record.levelname for record in caplog.records] == ["ERROR"]
        assert "KeyError" in caplog.text
        assert "break" not in caplog.text
    async with Client(uri) as client:
        assert text(await transcribe(client, *audio(tone(1)), stop()))


async def test_engine_is_not_asked_about_silence(uri):
    async with Client(uri) as client:
        assert text(await transcribe(client, *audio(silence(1)), stop(), transcript_names=["break"])) == ""


async def test_answers_come_in_the_order_of_the_questions(uri):
    async with Client(uri) as client:
        first = [Transcribe(transcript_names=["wait"]).event(), *audio(tone(1)), stop()]
        await send_all(client, [*first, Transcribe().event(), *audio(tone(0.5)), stop()])
        assert text(await receive_until(client, "transcript-stop")) == "heard 1000 ms"
        assert text(await receive_until(client, "transcript-stop")) == "heard 500 ms"


async def test_next_utterance_may_begin_before_the_transcript_of_the_last(uri):
    async with Client(uri) as client:
        turn_of_its_own = [Transcribe(transcript_names=["wait"]).event(), *audio(tone(1) + silence(0.5))]
        await send_all(client, turn_of_its_own)
        heard = await receive_until(client, "voice-stopped")
        await send_all(client, [*audio(tone(0.5)), stop()])
        assert text(heard + await receive_until(client, "transcript-stop")) == "heard 1000 ms"
        assert text(await receive_until(client, "transcript-stop")) == "heard 500 ms"


async def test_words_that_change_begin_anew(uri):
    async with Client(uri) as client:
        await client.send(Transcribe(transcript_names=["change"]))
        for event in audio(tone(1.2), milliseconds=200):
            await client.send(event)
            await asyncio.sleep(0.1)
        await client.send(stop())
        heard = await receive_until(client, "transcript-stop")
    shown: list[str] = []
    for event in heard:
        if event.type == "transcript-start":
            shown.append("")
        elif event.type == "transcript-chunk":
            shown[-1] += event.data["text"]
    assert shown == ["turn off", "turn on the light"]
    assert text(heard) == "turn on the light"


@pytest.mark.parametrize(
    ("tag", "languages", "match"),
    [
        ("en", ["en"], "en"),
        ("EN-us", ["en"], "en"),
        ("en_GB", ["en"], "en"),
        ("en", ["en-GB", "en-US"], "en-GB"),
        ("en-US", ["en-GB", "en-US"], "en-US"),
        ("zh-Hant-TW", ["zh", "yue"], "zh"),
        ("de", ["en"], None),
        ("e", ["en"], None),
        ("", ["en"], None),
    ],
)
def test_language_of_another_region_will_do(tag, languages, match):
    assert match_language(tag, languages) == match


async def test_feed_gives_what_has_come_and_then_nothing():
    feed = AudioFeed(AudioFormat(rate_hz=RATE_HZ, width_bytes=2, channels=1), most_seconds=1)
    taking = asyncio.create_task(feed.take())
    await asyncio.sleep(0)
    feed.add(FORM, b"ab")
    feed.add(FORM, b"")
    feed.add(FORM, b"cd")
    feed.end()
    feed.add(FORM, b"ef")
    assert [await taking, await feed.take()] == [b"abcd", None]


async def test_feed_drops_what_is_over_its_limit_and_says_so():
    feed = AudioFeed(AudioFormat(rate_hz=RATE_HZ, width_bytes=2, channels=1), most_seconds=1)
    feed.add(FORM, bytes(32_000))
    assert not feed.is_cut
    feed.add(FORM, b"ab")
    assert feed.is_cut
    assert [len(await feed.take() or b""), await feed.take()] == [32_000, None]


@pytest.mark.parametrize("changed", [{"rate": 8_000}, {"width": 4}, {"channels": 2}, {"rate": "16000"}])
async def test_feed_takes_one_format(changed):
    feed = AudioFeed(AudioFormat(rate_hz=RATE_HZ, width_bytes=2, channels=1), most_seconds=1)
    with pytest.raises(RequestError, match="stay the same"):
        feed.add({**FORM, **changed}, b"ab")


async def test_feed_without_a_limit_lets_the_sender_wait():
    feed = AudioFeed(AudioFormat(rate_hz=RATE_HZ, width_bytes=2, channels=1), most_seconds=None)
    feed.add(FORM, bytes(64_000))
    waiting = asyncio.create_task(feed.wait_for_room(1))
    await asyncio.sleep(0.01)
    assert not waiting.done()
    assert len(await feed.take() or b"") == 64_000
    await waiting


def test_warming_up_leaves_the_script_where_it_was(monkeypatch):
    monkeypatch.setenv("HEARTH_SCRIPT_STT", "one|two")
    engine = ScriptedStt()
    SttService(engine, find_row(Task.STT, "scripted"), "scripted", EngineOptions()).prime()
    stream = engine.stream(SttRequest())
    stream.feed(np.full(1_600, 0.1, np.float32))
    assert stream.finish().text == "one"
