"""How long the hub takes to answer `describe` while every worker is busy.

    python benchmarks/describe.py [--uri tcp://HOST:PORT] [--count 500] [--clients 2] [-- options of `hearth run`]

Starts a hub of its own unless `--uri` names one, gives every worker more work than it can do, and prints one JSON
line: milliseconds from `describe` on a new connection to the whole `info`, as Home Assistant asks every 30 s.
"""

import argparse
import asyncio
import contextlib
import json
import multiprocessing
import os
import signal
import statistics
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence

from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk, AudioStart, AudioStop
from wyoming.event import Event, Eventable
from wyoming.info import Describe, Info, SelectProgram
from wyoming.tts import Synthesize

from wyoming_servers.errors import WorkerError
from wyoming_servers.wire.client import Client, describe

_TEXT = "The quick brown fox jumps over the lazy dog, and then it rests for a while in the shade of a tree. "
_START_SECONDS = 180
_PAUSE_SECONDS = 0.02


@contextlib.asynccontextmanager
async def hub(options: Sequence[str]) -> AsyncIterator[str]:
    """Run a hub on free ports, with data of its own, and yield its address once its self-check is over."""
    with tempfile.TemporaryDirectory() as data_dir:
        process = await asyncio.create_subprocess_exec(
            *(sys.executable, "-m", "wyoming_servers.cli", "run", "--uri", "tcp://127.0.0.1:0", "--http-port", "0"),
            *options,
            env={**os.environ, "HEARTH_DATA_DIR": data_dir},
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.DEVNULL,
        )
        try:
            async with asyncio.timeout(_START_SECONDS):
                yield await _address(process)
        finally:
            process.send_signal(signal.SIGTERM)
            await process.wait()


async def _address(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None  # noqa: S101  # it was asked for
    while line := (await process.stdout.readline()).decode():
        if "→" in line or "Hearth runs on at" in line:
            place = next(word for word in line.split() if word.startswith("127.0.0.1:"))
            return f"tcp://{place}"
    raise RuntimeError("The hub ended before it was ready.")


async def speech(uri: str) -> list[Event]:
    """Return a spoken sentence as events, from the hub's own voice."""
    async with Client(uri) as client:
        await client.send(Synthesize(text="turn on the kitchen light"))
        events = []
        while (event := await client.expect()).type != "audio-stop":
            if event.type in {"audio-start", "audio-chunk"}:
                events.append(event)
    form = {key: events[0].data[key] for key in ("rate", "width", "channels")}
    pcm = b"".join(event.payload or b"" for event in events)
    step = form["rate"] // 50 * form["width"]
    chunks = [AudioChunk(audio=pcm[at : at + step], **form).event() for at in range(0, len(pcm), step)]
    return [AudioStart(**form).event(), *chunks, AudioStop().event()]


async def keep_busy(work: Callable[[], Awaitable[None]], done: list[int]) -> None:
    """Ask for work again and again."""
    while True:
        try:
            await work()
            done[0] += 1
        except WorkerError:
            await asyncio.sleep(0.1)


async def exchange(uri: str, events: Sequence[Event | Eventable], *ends: str) -> None:
    """Send events and read until one of some types."""
    async with Client(uri) as client:
        sending = asyncio.create_task(_send(client, events))
        try:
            while (kind := (await client.expect()).type) not in ends:
                if kind == "error":
                    raise WorkerError("It refused the work.")
        finally:
            sending.cancel()
            await asyncio.gather(sending, return_exceptions=True)


async def _send(client: Client, events: Sequence[Event | Eventable]) -> None:
    for event in events:
        await client.send(event)


def works(uri: str, audio: list[Event], *, has_llm: bool) -> dict[str, Callable[[], Awaitable[None]]]:
    """Return a piece of work for each worker."""
    spoken = [Transcribe(language="en"), *audio]
    detected = [SelectProgram(name="vad"), *audio[:-1], *audio[1:-1] * 4, audio[-1]]
    found = {
        "tts": lambda: exchange(uri, [Synthesize(text=_TEXT * 20)], "audio-stop"),
        "stt": lambda: exchange(uri, spoken, "transcript"),
        "vad": lambda: exchange(uri, detected, "voice-stopped"),
    }
    if has_llm:
        found["llm"] = lambda: exchange(uri, [Transcript(text="tell me a story", language="en")], "handled")
    return found


async def make_busy(uri: str, clients: int, seconds: float) -> dict[str, int]:
    """Keep every worker busy for a while; return how many requests each finished."""
    info = await describe(uri, seconds=30)
    pieces = works(uri, await speech(uri), has_llm=bool(info.handle))
    finished = {name: [0] for name in pieces}
    busy = [
        asyncio.create_task(keep_busy(work, finished[name])) for name, work in pieces.items() for _ in range(clients)
    ]
    await asyncio.sleep(seconds)
    for task in busy:
        task.cancel()
    await asyncio.gather(*busy, return_exceptions=True)
    return {name: number for name, (number,) in finished.items()}


def keep_workers_busy(uri: str, clients: int, seconds: float, results: "multiprocessing.Queue[dict[str, int]]") -> None:
    """Do so in a process of its own, so that the clients' work delays no measurement."""
    results.put(asyncio.run(make_busy(uri, clients, seconds)))


async def measure(uri: str, count: int, clients: int) -> dict[str, object]:
    """Return the percentiles, and how often each worker finished meanwhile."""
    results: multiprocessing.Queue[dict[str, int]] = multiprocessing.Queue()
    seconds = count * (_PAUSE_SECONDS + 0.02) + 1
    others = multiprocessing.Process(target=keep_workers_busy, args=(uri, clients, seconds, results))
    await asyncio.to_thread(others.start)
    await asyncio.sleep(1)
    times_ms = []
    for _ in range(count):
        begun = time.perf_counter()
        async with Client(uri) as client:
            await client.send(Describe())
            while not Info.is_type((await client.expect()).type):
                pass
            times_ms.append((time.perf_counter() - begun) * 1000)
        await asyncio.sleep(_PAUSE_SECONDS)
    finished = await asyncio.to_thread(results.get)
    await asyncio.to_thread(others.join)
    cuts = statistics.quantiles(times_ms, n=100)
    return {
        "benchmark": "describe",
        "count": count,
        "clients_per_worker": clients,
        "p50_ms": round(cuts[49], 2),
        "p95_ms": round(cuts[94], 2),
        "p99_ms": round(cuts[98], 2),
        "max_ms": round(max(times_ms), 2),
        "finished": finished,
    }


async def main() -> None:
    """Measure and print one line."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--uri", help="a hub that runs (default: one of our own)")
    parser.add_argument("--count", type=int, default=500)
    parser.add_argument("--clients", type=int, default=2, help="clients per worker")
    parser.add_argument("options", nargs="*", help="options of `hearth run`, after --")
    args = parser.parse_args()
    async with contextlib.AsyncExitStack() as stack:
        uri = args.uri or await stack.enter_async_context(hub(args.options))
        print(json.dumps(await measure(uri, args.count, args.clients)))


if __name__ == "__main__":
    asyncio.run(main())
