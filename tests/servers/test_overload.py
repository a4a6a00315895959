"""Clients that ask for too much, too slowly or take nothing: bounded, told, and nobody else's problem."""

import asyncio
import contextlib
import socket
import struct
import time

import pytest
from wyoming.error import Error
from wyoming.event import Event, async_read_event

from tests.support.raw_wire import address, event, exchange, first, line
from tests.support.waiting import until
from tests.support.worker_process import WorkerProcess
from wyoming_servers.wire.client import Client, describe
from wyoming_servers.wire.connection import Connection
from wyoming_servers.wire.limits import Limits
from wyoming_servers.wire.reader import read_event
from wyoming_servers.wire.server import Server

AUDIO = {"rate": 48_000, "width": 2, "channels": 2}
MIB = 1024 * 1024


@pytest.fixture(scope="module")
def tts(tmp_path_factory):
    worker = WorkerProcess("tts", tmp_path_factory.mktemp("tts"))
    yield worker
    assert worker.stop() == 0
    assert "Traceback" not in worker.log


@pytest.fixture(scope="module")
def stt(tmp_path_factory):
    worker = WorkerProcess("stt", tmp_path_factory.mktemp("stt"))
    yield worker
    assert worker.stop() == 0
    assert "Traceback" not in worker.log


class Talker:
    """Answers `ping` with as many megabytes as it asks for, in the background if it says so."""

    def __init__(self, connection: Connection) -> None:
        self._connection = connection

    async def handle(self, event: Event) -> None:
        if event.type == "describe":
            await self._connection.send(Event(type="info", data={}))
        elif event.type == "work":
            self._connection.spawn(asyncio.sleep(event.data["seconds"]))
        else:
            self._connection.spawn(self._talk(event.data["megabytes"]))

    async def _talk(self, megabytes: int) -> None:
        for _ in range(megabytes):
            await self._connection.send(Event(type="noise", payload=bytes(MIB)))
        await self._connection.send(Event(type="done"))

    async def aclose(self) -> None:
        """Nothing to release."""


@contextlib.asynccontextmanager
async def talker(**limits: float):
    server = Server(Talker, Limits(**limits))
    await server.start("tcp://127.0.0.1:0")
    try:
        yield server
    finally:
        await server.stop()


async def test_connections_over_the_limit_are_told_busy_and_the_rest_served(tts):
    streams = [await asyncio.open_connection(*address(tts.uri)) for _ in range(300)]
    try:
        answers = await asyncio.gather(*(ask(*stream) for stream in streams))
    finally:
        for _, writer in streams:
            writer.close()
    assert [answer.type for answer in answers] == ["info"] * 256 + ["error"] * 44
    assert {Error.from_event(answer).code for answer in answers[256:]} == {"busy"}
    for _ in range(100):
        if (again := await exchange_one(tts.uri)).type == "info":
            break
        await asyncio.sleep(0.05)
    assert again.type == "info"


async def ask(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> Event:
    """Ask what there is, on a connection that stays open."""
    writer.write(event("describe"))
    async with asyncio.timeout(20):
        received = await async_read_event(reader)
    assert received
    return received


async def exchange_one(uri: str) -> Event:
    """Ask what there is, on a new connection."""
    return await first(uri, event("describe"), "info", "error")


async def test_endless_payload_is_refused_without_keeping_any_of_it(stt):
    await first(stt.uri, event("describe"), "info")
    before = stt.memory_bytes
    reader, writer = await asyncio.open_connection(*address(stt.uri))
    reading = asyncio.create_task(async_read_event(reader))
    writer.write(line({"type": "audio-chunk", "payload_length": 10**12}))
    with contextlib.suppress(ConnectionError, TimeoutError):
        async with asyncio.timeout(3):
            for _ in range(300):
                writer.write(bytes(MIB))
                await writer.drain()
    after = stt.memory_bytes
    refusal = await reading
    writer.transport.abort()
    assert refusal
    assert Error.from_event(refusal).code == "too-large"
    assert after - before < 16 * MIB


async def test_client_that_reads_only_once_it_has_sent_all_still_learns_why(stt):
    reader, writer = await asyncio.open_connection(*address(stt.uri))
    writer.write(event("audio-start", {**AUDIO, "width": 3}))
    for _ in range(50):
        writer.write(event("audio-chunk", AUDIO, bytes(1_920)))
        await writer.drain()
        await asyncio.sleep(0.05)
    refusal = await async_read_event(reader)
    writer.close()
    assert refusal
    assert Error.from_event(refusal).code == "bad-audio"


async def test_audio_faster_than_it_is_heard_is_bounded(stt):
    """Fifteen minutes in one go: the utterance ends at its limit and the memory stays."""
    await first(stt.uri, event("describe"), "info")
    before = stt.memory_bytes
    chunk = event("audio-chunk", AUDIO, b"\x00\x40\x00\xc0" * (MIB // 4))
    reader, writer = await asyncio.open_connection(*address(stt.uri))
    writer.write(event("audio-start", AUDIO))
    peak = 0
    for _ in range(160):
        writer.write(chunk)
        await writer.drain()
        peak = max(peak, stt.memory_bytes)
    writer.write(event("audio-stop"))
    async with asyncio.timeout(30):
        while (received := await async_read_event(reader)) and received.type not in {"transcript", "error"}:
            pass
    writer.close()
    assert received
    assert received.type == "transcript"
    assert peak - before < 64 * MIB


async def test_client_that_never_reads_keeps_nobody_waiting(tts):
    _, deaf = await asyncio.open_connection(*address(tts.uri))
    deaf.write(event("synthesize", {"text": "word " * 1_500}))
    await asyncio.sleep(0.3)
    start = time.monotonic()
    await first(tts.uri, event("synthesize", {"text": "hello"}), "audio-stop")
    assert time.monotonic() - start < 5
    deaf.transport.abort()


async def test_client_that_never_reads_is_dropped_in_the_end():
    async with talker(write_seconds=0.3) as server:
        _, deaf = await asyncio.open_connection(*address(server.uri))
        deaf.write(event("ping", {"megabytes": 50}))
        await until(lambda: server.connections == 1)
        await until(lambda: server.connections == 0)
        deaf.transport.abort()


async def test_refused_client_that_never_reads_is_dropped_soon(monkeypatch):
    monkeypatch.setattr("wyoming_servers.wire.connection._REFUSED_LINGER_SECONDS", 0.5)
    async with talker(write_seconds=30) as server:
        _, deaf = await asyncio.open_connection(*address(server.uri))
        deaf.write(event("ping", {"megabytes": 50}))
        await asyncio.sleep(0.3)
        deaf.write(b"nonsense\n")
        await until(lambda: server.connections == 0)
        deaf.transport.abort()


async def test_client_that_reads_slowly_gets_everything():
    async with talker(write_seconds=5) as server:
        reader, writer = await asyncio.open_connection(*address(server.uri))
        writer.write(event("ping", {"megabytes": 20}))
        await asyncio.sleep(0.5)
        received = []
        async with asyncio.timeout(20):
            while (one := await async_read_event(reader)) and one.type != "done":
                received.append(len(one.payload or b""))
        writer.close()
    assert received == [MIB] * 20


async def test_header_that_comes_a_byte_at_a_time_has_its_limit():
    async with talker(idle_seconds=0.5) as server:
        reader, writer = await asyncio.open_connection(*address(server.uri))
        for byte in b'{"type": "descr':
            writer.write(bytes([byte]))
            await asyncio.sleep(0.05)
        refusal = await async_read_event(reader)
        writer.close()
    assert refusal
    assert Error.from_event(refusal).code == "idle"


async def test_event_that_stops_in_the_middle_has_its_limit():
    async with talker(event_seconds=0.3) as server:
        refusal = (await exchange(server.uri, line({"type": "x", "payload_length": 100}) + b"half"))[0]
    assert Error.from_event(refusal).code == "too-slow"


async def test_lost_network_is_not_mistaken_for_a_quiet_client():
    reader = asyncio.StreamReader()
    reader.set_exception(TimeoutError(110, "Connection timed out"))
    with pytest.raises(ConnectionAbortedError):
        await read_event(reader, Limits(), idle_seconds=60)


async def test_refusal_is_the_last_word():
    """A refused client hears nothing more of what was being done for it, even if it was slow to listen."""
    async with talker() as server:
        reader, writer = await asyncio.open_connection(*address(server.uri))
        writer.write(event("ping", {"megabytes": 500}))
        await asyncio.sleep(0.3)
        writer.write(b"nonsense\n")
        await asyncio.sleep(0.3)
        types = []
        async with asyncio.timeout(20):
            while received := await async_read_event(reader):
                types.append(received.type)
        writer.close()
    assert types[-1] == "error"
    assert len(types) < 100


async def test_waiting_for_work_in_progress_is_not_idling():
    async with talker(idle_seconds=0.2) as server:
        reader, writer = await asyncio.open_connection(*address(server.uri))
        writer.write(event("work", {"seconds": 0.8}))
        await asyncio.sleep(0.5)
        writer.write(event("describe"))
        answer = await async_read_event(reader)
        refusal = await async_read_event(reader)
        writer.close()
    assert answer
    assert refusal
    assert answer.type == "info"
    assert Error.from_event(refusal).code == "idle"


async def test_flood_of_events_keeps_nobody_waiting(stt):
    reader, writer = await asyncio.open_connection(*address(stt.uri))

    async def flood() -> None:
        pings = event("ping", {"text": "x"}) * 500
        with contextlib.suppress(ConnectionError):
            while True:
                writer.write(pings)
                await writer.drain()

    async def take() -> None:
        while await reader.read(65_536):
            pass

    flooding = [asyncio.create_task(flood()), asyncio.create_task(take())]
    waits = []
    for _ in range(20):
        start = time.monotonic()
        await describe(stt.uri)
        waits.append(time.monotonic() - start)
    for task in flooding:
        task.cancel()
    writer.transport.abort()
    assert sorted(waits)[10] < 0.25


@pytest.mark.parametrize("sent", [b"", event("audio-start", AUDIO), event("audio-start", AUDIO)[:-5]])
async def test_reset_by_the_client_is_nobodys_problem(stt, sent):
    with socket.create_connection(address(stt.uri)) as client:
        client.sendall(sent)
        client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    assert (await describe(stt.uri)).asr


@pytest.mark.parametrize("flood_mib", [1, 20])
async def test_refusal_reaches_a_client_that_is_still_sending(flood_mib):
    """The error must not be destroyed by a reset, however much comes after what was wrong."""
    async with talker() as server:
        reader, writer = await asyncio.open_connection(*address(server.uri))
        writer.write(b"nonsense\n" + bytes(flood_mib * MIB))
        with contextlib.suppress(ConnectionError):
            await writer.drain()
        await asyncio.sleep(0.2)
        refusal = await async_read_event(reader)
        writer.transport.abort()
    assert refusal
    assert Error.from_event(refusal).code == "bad-json"


async def test_unexpected_failure_says_so_without_details(caplog):
    async with talker() as server:
        received = await exchange(server.uri, event("ping", {"megabytes": "many"}))
    assert [Error.from_event(one).code for one in received] == ["internal"]
    assert "many" not in received[0].data["text"]
    assert "TypeError" in caplog.text


async def test_leaving_a_server_that_does_not_read_takes_a_moment():
    with socket.create_server(("127.0.0.1", 0)) as deaf:
        client = Client(f"tcp://127.0.0.1:{deaf.getsockname()[1]}")
        await client.__aenter__()
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(0.3):
                while True:
                    await client.send(Event(type="noise", payload=bytes(MIB)))
        async with asyncio.timeout(5):
            await client.__aexit__(None, None, None)


async def test_describe_of_a_server_that_never_answers_is_bounded():
    with socket.create_server(("127.0.0.1", 0)) as deaf, pytest.raises(Exception, match="does not answer"):
        await describe(f"tcp://127.0.0.1:{deaf.getsockname()[1]}", seconds=0.3)
