"""A speaker who pauses in the middle of a sentence is heard to its end, if the engine can tell."""

import asyncio

import pytest
from wyoming.asr import Transcript

from tests.support.speaker import Speaker
from tests.support.utterance import audio, silence, stop, text, transcribe, turn
from tests.support.worker_process import WorkerProcess
from tests.support.wyoming_client import receive_until, send_all
from wyoming_servers.wire.client import Client

WHOLE_MS = 900


@pytest.fixture(scope="module")
def worker(tmp_path_factory):
    """A worker whose engine takes less than `WHOLE_MS` of loud audio for half a sentence."""
    worker = WorkerProcess(
        "stt", tmp_path_factory.mktemp("stt"), HEARTH_SCRIPT_STT_WHOLE_MS=str(WHOLE_MS), HEARTH_SCRIPT_STT_PARTIALS="0"
    )
    yield worker
    worker.stop()


@pytest.fixture(scope="module")
def half() -> bytes:
    return Speaker()("set the lamp to")


@pytest.fixture(scope="module")
def rest() -> bytes:
    return Speaker()("fifty percent")


def loud_ms(transcript: str) -> float:
    return float(transcript.split()[1])


async def test_both_halves_become_one_transcript(worker, half, rest):
    async with Client(worker.uri) as client:
        heard = await transcribe(client, *audio(half + silence(0.1) + rest + silence(2)))
    assert turn(heard) == [
        "voice-started",
        "voice-stopped",
        "voice-started",
        "voice-stopped",
        "transcript",
        "transcript-stop",
    ]
    assert loud_ms(text(heard)) > WHOLE_MS


async def test_half_a_sentence_that_stays_one_gives_an_empty_transcript(worker, half):
    async with Client(worker.uri) as client:
        heard = await transcribe(client, *audio(half + silence(3)))
        assert turn(heard) == ["voice-started", "voice-stopped", "transcript", "transcript-stop"]
        assert text(heard) == ""


async def test_a_client_that_ends_its_audio_is_not_kept_waiting(worker, half):
    async with Client(worker.uri) as client:
        await send_all(client, [*audio(half + silence(0.4)), stop()])
        async with asyncio.timeout(5):
            heard = await receive_until(client, "transcript-stop", "error")
        assert [event.data["text"] for event in heard if Transcript.is_type(event.type)] == [""]


async def test_the_next_utterance_begins_anew(worker, half, rest):
    async with Client(worker.uri) as client:
        await transcribe(client, *audio(half + silence(3)))
        heard = await transcribe(client, *audio(half + silence(0.1) + rest + silence(2)))
        assert loud_ms(text(heard)) > WHOLE_MS
