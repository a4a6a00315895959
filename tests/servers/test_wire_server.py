"""The server skeleton: where it listens, and how it stops."""

import asyncio
import json
import os
import socket
import subprocess
import sys
import time
from contextlib import asynccontextmanager

import pytest
from wyoming.event import Event, async_read_event

from tests.support.raw_wire import event, first
from tests.support.waiting import until
from tests.support.worker_process import WorkerProcess
from wyoming_servers.errors import SettingsError, WorkerError
from wyoming_servers.wire.client import Client
from wyoming_servers.wire.connection import Connection
from wyoming_servers.wire.limits import Limits
from wyoming_servers.wire.server import Server, parse_uri

FORM = {"rate": 16_000, "width": 2, "channels": 1}


class Worker:
    """Takes as long as it is told, and then answers."""

    cancelled = 0

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def handle(self, event: Event) -> None:
        self._connection.spawn(self._work(event.data["seconds"]))

    async def _work(self, seconds: float) -> None:
        try:
            await asyncio.sleep(seconds)
        except asyncio.CancelledError:
            Worker.cancelled += 1
            raise
        await self._connection.send(Event(type="done"))

    async def aclose(self) -> None:
        """Nothing to release."""


@asynccontextmanager
async def serving(uri: str = "tcp://127.0.0.1:0", **limits: float):
    server = Server(Worker, Limits(**limits))
    await server.start(uri)
    try:
        yield server
    finally:
        await server.stop()


def work(seconds: float) -> Event:
    return Event(type="work", data={"seconds": seconds})


@pytest.mark.parametrize("uri", ["tcp://127.0.0.1:0", "tcp://[::1]:0", "unix"])
async def test_listens_where_it_is_told_and_says_where(tmp_path, uri):
    if uri == "unix":
        uri = f"unix://{tmp_path}/worker.sock"
    async with serving(uri) as server, Client(server.uri) as client:
        await client.send(work(0))
        assert (await client.expect()).type == "done"
    assert not (tmp_path / "worker.sock").exists()


async def test_socket_of_a_killed_process_is_taken_over_but_no_other_file(tmp_path):
    stale = tmp_path / "stale.sock"
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(stale))
    async with serving(f"unix://{stale}") as server, Client(server.uri) as client:
        await client.send(work(0))
        assert (await client.expect()).type == "done"
    (tmp_path / "file").write_text("mine")
    with pytest.raises(SettingsError, match="Cannot listen"):
        await Server(Worker).start(f"unix://{tmp_path}/file")
    assert (tmp_path / "file").read_text() == "mine"


async def test_taken_port_is_a_plain_error():
    async with serving() as server:
        with pytest.raises(SettingsError, match="Cannot listen"):
            await Server(Worker).start(server.uri)


@pytest.mark.parametrize(
    "uri", ["", "tcp://", "tcp://host", "tcp://:1", "tcp://host:x", "tcp://h:99999", "http://h:1", "unix://", "h:1"]
)
def test_addresses_that_are_none_are_refused(uri):
    with pytest.raises(SettingsError, match="not an address"):
        parse_uri(uri)


async def test_nobody_there_is_a_plain_error():
    async with serving() as server:
        uri = server.uri
    with pytest.raises(WorkerError, match="Nothing answers"):
        await Client(uri).__aenter__()


async def test_leaving_cancels_what_was_asked_for():
    before = Worker.cancelled
    async with serving() as server:
        async with Client(server.uri) as client:
            await client.send(work(60))
            await until(lambda: any(connection.is_busy for connection in server._connections.values()))
        await until(lambda: not server.connections, seconds=1)
    assert Worker.cancelled == before + 1


async def test_stopping_lets_work_end_and_does_not_wait_for_idle_clients():
    async with serving(drain_seconds=10) as server, Client(server.uri) as idle, Client(server.uri) as busy:
        await busy.send(work(0.5))
        await idle.send(work(0))
        assert (await idle.expect()).type == "done"
        start = time.monotonic()
        stopping = asyncio.create_task(server.stop())
        assert await idle.receive() is None
        assert time.monotonic() - start < 0.4
        assert (await busy.expect()).type == "done"
        assert await busy.receive() is None
        await stopping
        assert time.monotonic() - start < 5


async def test_stopping_ends_what_takes_too_long():
    async with serving(drain_seconds=0.3) as server, Client(server.uri) as client:
        await client.send(work(60))
        start = time.monotonic()
        await asyncio.sleep(0.1)
        await server.stop()
        assert time.monotonic() - start < 5
        assert await client.receive() is None


def test_pipes_get_the_answer_to_what_was_asked_before_the_end(tmp_path):
    command = [sys.executable, "-m", "wyoming_servers.cli", "serve", "llm", "--uri", "stdio://", "--engine", "scripted"]
    environ = {**os.environ, "HEARTH_DATA_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    asked = event("describe") + event("transcript", {"text": "one two"})
    done = subprocess.run(command, input=asked, capture_output=True, env=environ, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    types = [json.loads(text)["type"] for text in done.stdout.splitlines() if text.startswith(b'{"type"')]
    assert types[0] == "info"
    assert b'"text": "one two"' in done.stdout


@pytest.mark.parametrize(
    ("task", "asked", "answer"),
    [
        ("stt", [("audio-start", FORM), ("audio-chunk", FORM)], b'"type": "transcript"'),
        ("tts", [("synthesize-start", {}), ("synthesize-chunk", {"text": "one two"})], b'"type": "synthesize-stopped"'),
        ("vad", [("audio-start", FORM), ("audio-chunk", FORM)], b'"type": "voice-stopped"'),
    ],
)
def test_end_of_a_pipe_ends_what_lies_open(tmp_path, task, asked, answer):
    command = [sys.executable, "-m", "wyoming_servers.cli", "serve", task, "--uri", "stdio://", "--engine", "scripted"]
    environ = {**os.environ, "HEARTH_DATA_DIR": str(tmp_path), "PYTHONPATH": os.pathsep.join(sys.path)}
    loud = b"\x00\x40\x00\xc0" * 8_000
    sent = b"".join(event(kind, data, loud if kind == "audio-chunk" else b"") for kind, data in asked)
    done = subprocess.run(command, input=sent, capture_output=True, env=environ, cwd=tmp_path, timeout=60, check=False)
    assert done.returncode == 0, done.stderr
    assert answer in done.stdout


async def test_terminated_worker_finishes_the_answer(tmp_path):
    worker = WorkerProcess("llm", tmp_path, HEARTH_SCRIPT_LLM_DELAY_MS="100")
    stopping = None
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", int(worker.uri.rpartition(":")[2]))
        writer.write(event("transcript", {"text": "one two three four"}))
        types = []
        async with asyncio.timeout(20):
            while received := await async_read_event(reader):
                types.append(received.type)
                stopping = stopping or asyncio.create_task(asyncio.to_thread(worker.stop))
        writer.close()
    finally:
        status = await stopping if stopping else worker.stop()
    assert types[-1] == "handled-stop"
    assert status == 0


async def test_killed_worker_closes_its_connections(tmp_path):
    worker = WorkerProcess("llm", tmp_path, HEARTH_SCRIPT_LLM="ready|one !crash")
    try:
        with pytest.raises((ConnectionError, WorkerError)):
            await first(worker.uri, event("transcript", {"text": "hello"}), "handled")
    finally:
        assert worker.stop() == 70
