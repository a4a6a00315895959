"""What goes wrong around the hub stays where it went wrong, and is said."""

import asyncio
import contextlib
import os
import signal
import time

import psutil
import pytest

from tests.support.eventually import until
from tests.support.hub_process import HubProcess
from tests.support.speaker import Speaker
from tests.support.wyoming_client import ask, receive_until, said, send_all, speak, spoken
from wyoming_servers.engines.base import EngineOptions
from wyoming_servers.engines.scripted import ScriptedLlm
from wyoming_servers.engines.table import Task, find_row
from wyoming_servers.wire.client import Client, describe
from wyoming_servers.wire.server import Server
from wyoming_servers.workers.llm import LlmService

pytestmark = pytest.mark.slow

SENTENCE = "turn on the kitchen light"


@pytest.fixture
def make_hub(tmp_path):
    """Start hubs; each is ended with the test, and so is what it left."""
    hubs: list[HubProcess] = []

    def make(**environ: str) -> HubProcess:
        hub = HubProcess(tmp_path, **{"HEARTH_STT_ENGINE": "scripted", "HEARTH_SCRIPT_STT": SENTENCE, **environ})
        hubs.append(hub)
        hub.start()
        return hub

    yield make
    for hub in hubs:
        hub.stop()


def workers_of(hub: HubProcess) -> dict[str, psutil.Process]:
    return {task: psutil.Process(worker["pid"]) for task, worker in hub.status()["workers"].items() if worker["pid"]}


def are_gone(processes) -> bool:
    return not any(process.is_running() and process.status() != psutil.STATUS_ZOMBIE for process in processes)


async def test_worker_killed_in_mid_utterance_is_told_and_the_next_turn_works(make_hub):
    hub = make_hub()
    audio = spoken(Speaker()(SENTENCE))
    async with Client(hub.uri) as client:
        await send_all(client, audio[: len(audio) // 2])
        await receive_until(client, "voice-started")
        workers_of(hub)["stt"].kill()
        events = await receive_until(client, "error")
        assert events[-1].data["code"] == "worker-lost"
        assert "Traceback" not in events[-1].data["text"]
        assert await client.receive() is None
    async with Client(hub.uri) as client:
        await send_all(client, audio)
        events = await receive_until(client, "transcript", "error")
    assert events[-1].data.get("text") == SENTENCE
    worker = hub.status()["workers"]["stt"]
    assert worker["restarts"] == 1
    assert "SIGKILL" in worker["last_error"]
    assert hub.log_text().count("SIGKILL") == 1


async def test_worker_that_crashes_on_a_request_harms_no_other_service(make_hub):
    hub = make_hub(HEARTH_LLM_ENGINE="scripted", HEARTH_SCRIPT_LLM="fine|!crash")
    events = await ask(hub.uri, said("how are you"), "handled")
    assert events[-1].data["code"] == "worker-lost"
    assert (await ask(hub.uri, said(SENTENCE), "intent"))[-1].type == "intent"
    assert (await ask(hub.uri, speak("hello"), "audio-stop"))[-1].type == "audio-stop"


async def test_worker_that_dies_at_start_shows_why(make_hub):
    hub = make_hub(HEARTH_LLM_ENGINE="openai")
    status = hub.status()
    assert status["self_check"]["state"] == "failed"
    assert "llm.url" in status["self_check"]["failures"]["llm"]
    await until(lambda: asyncio.to_thread(lambda: hub.status()["workers"]["llm"]["restarts"] >= 2))
    llm = hub.status()["workers"]["llm"]
    assert "exit code 1" in llm["last_error"]
    assert "llm.url" in llm["last_error"]
    events = await ask(hub.uri, said("how are you"), "handled")
    assert events[-1].data["code"] == "unavailable"
    assert (await ask(hub.uri, speak("hello"), "audio-stop"))[-1].type == "audio-stop"


async def test_describe_is_answered_while_every_worker_hangs(make_hub):
    hub = make_hub(HEARTH_LLM_ENGINE="scripted")
    before = await describe(hub.uri)
    processes = workers_of(hub)
    assert set(processes) == {"vad", "stt", "tts", "llm"}
    for process in processes.values():
        process.suspend()
    begun = time.monotonic()
    for _ in range(20):
        assert await describe(hub.uri, seconds=2) == before
    assert time.monotonic() - begun < 2


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_signal_ends_the_hub_and_its_workers(make_hub, number):
    hub = make_hub()
    processes = [psutil.Process(hub.status()["pid"]), *workers_of(hub).values()]
    processes[1].suspend()
    async with Client(hub.uri) as idle:
        begun = time.monotonic()
        os.kill(processes[0].pid, number)
        assert await asyncio.to_thread(hub.wait_ended, 10) == 0
        assert time.monotonic() - begun < 7
        assert await idle.receive() is None
    assert are_gone(processes)


async def test_killed_hub_leaves_no_workers(make_hub):
    hub = make_hub()
    processes = workers_of(hub).values()
    os.kill(hub.status()["pid"], signal.SIGKILL)
    await until(lambda: asyncio.to_thread(are_gone, processes))


async def test_request_in_progress_may_end_when_the_hub_is_told_to(make_hub):
    hub = make_hub(
        HEARTH_LLM_ENGINE="scripted", HEARTH_SCRIPT_LLM="one two three four", HEARTH_SCRIPT_LLM_DELAY_MS="200"
    )
    async with Client(hub.uri) as client:
        await client.send(said("how are you"))
        await receive_until(client, "handled-chunk")
        os.kill(hub.status()["pid"], signal.SIGTERM)
        events = await receive_until(client, "handled", "error")
    assert events[-1].data.get("text") == "one two three four"


async def test_worker_somewhere_else_is_used_and_missed(make_hub):
    service = LlmService(ScriptedLlm(), find_row(Task.LLM, "scripted"), "scripted", EngineOptions())
    server = Server(service.handler)
    await server.start("tcp://127.0.0.1:0")
    hub = await asyncio.to_thread(lambda: make_hub(HEARTH_LLM_URI=server.uri))
    assert hub.status()["workers"]["llm"]["state"] == "external"
    assert (await describe(hub.uri)).handle
    events = await ask(hub.uri, said("how are you"), "handled")
    assert events[-1].data["text"] == "how are you"
    await server.stop()
    events = await ask(hub.uri, said("how are you"), "handled")
    assert events[-1].data["code"] == "unreachable"


async def test_flood_of_one_client_delays_no_other(make_hub):
    hub = make_hub()
    chunk = spoken(bytes(64_000), chunk_bytes=64_000)
    flooding = asyncio.create_task(flood(hub.uri, chunk))
    try:
        for _ in range(5):
            assert (await ask(hub.uri, speak("hello"), "audio-stop"))[-1].type == "audio-stop"
            assert (await ask(hub.uri, said("turn on the lamp"), "intent", "not-recognized"))[-1].type != "error"
    finally:
        flooding.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await flooding


async def flood(uri: str, events) -> None:
    while True:
        with contextlib.suppress(Exception):
            async with Client(uri) as client:
                await send_all(client, events[:2])
                while True:
                    await client.send(events[2])
        await asyncio.sleep(0)
