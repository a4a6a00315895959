#!/usr/bin/env python3
"""How long the last of several clients waits for its first sound, against a client that is alone.

Starts a real TTS worker and asks it over its socket, one client and many clients in turns, so that whatever else
the machine does falls on both. A client asks, and reads all that comes; what counts is the time from asking to
the first audio. Prints a table and one line of JSON.

    benchmarks/tts_fairness.py --engine espeak
    benchmarks/tts_fairness.py --engine piper --model VOICE.onnx --data-dir DIR   (the voice in DIR/models)
"""

import argparse
import asyncio
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from wyoming.audio import AudioChunk, AudioStop
from wyoming.error import Error
from wyoming.tts import Synthesize

from wyoming_servers.errors import WorkerError
from wyoming_servers.wire.client import Client, describe

TEXT = "The living room is at twenty one degrees, the kitchen window is open, and the front door is locked."


async def ask(uri: str, text: str, together: asyncio.Barrier) -> tuple[float, float]:
    """Return the milliseconds to the first audio and the seconds of audio, asked once all are connected."""
    async with Client(uri) as client:
        await together.wait()
        began = time.perf_counter()
        await client.send(Synthesize(text=text))
        first_ms, audio_bytes, rate = 0.0, 0, 1
        while not AudioStop.is_type((event := await client.expect()).type):
            if Error.is_type(event.type):
                raise RuntimeError(Error.from_event(event).text)
            if AudioChunk.is_type(event.type):
                first_ms = first_ms or (time.perf_counter() - began) * 1000
                audio_bytes += len(event.payload or b"")
                rate = event.data["rate"]
    return first_ms, audio_bytes / 2 / rate


async def measure(uri: str, clients: int, rounds: int, text: str) -> dict[str, object]:
    """Alternate one client and many; return what was seen."""
    alone, last, middle = [], [], []
    audio_seconds = 0.0
    for turn in range(rounds + 1):
        single, _ = await ask(uri, text, asyncio.Barrier(1))
        together = asyncio.Barrier(clients)
        many = await asyncio.gather(*(ask(uri, text, together) for _ in range(clients)))
        if turn == 0:
            continue  # the first round warms both sides
        audio_seconds = many[0][1]
        firsts = sorted(first for first, _ in many)
        alone.append(single)
        last.append(firsts[-1])
        middle.append(statistics.median(firsts))
    return {
        "clients": clients,
        "rounds": rounds,
        "audio_seconds": round(audio_seconds, 2),
        "alone_ms": round(statistics.median(alone), 1),
        "median_of_many_ms": round(statistics.median(middle), 1),
        "last_of_many_ms": round(statistics.median(last), 1),
        "last_of_many_worst_ms": round(max(last), 1),
        "ratio": round(statistics.median(last) / statistics.median(alone), 2),
    }


async def wait_until_ready(uri: str, worker: subprocess.Popen[bytes]) -> None:
    """Return once the worker answers."""
    for _ in range(600):
        if worker.poll() is not None:
            raise SystemExit("the worker ended; its message is above")
        with contextlib.suppress(WorkerError):
            await describe(uri, seconds=1)
            return
        await asyncio.sleep(0.1)
    raise SystemExit("the worker does not answer")


def main() -> None:
    """Measure one engine."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--engine", default="espeak")
    parser.add_argument("--model")
    parser.add_argument("--data-dir", type=Path)
    parser.add_argument("--clients", type=int, default=8)
    parser.add_argument("--rounds", type=int, default=9)
    parser.add_argument("--text", default=TEXT)
    options = parser.parse_args()
    environ = dict(os.environ)
    if options.data_dir:
        environ["HEARTH_DATA_DIR"] = str(options.data_dir)
    with tempfile.TemporaryDirectory() as folder:
        uri = f"unix://{folder}/tts"
        command = [sys.executable, "-m", "wyoming_servers.cli", "serve", "tts", "--uri", uri]
        command += ["--engine", options.engine, *(["--model", options.model] if options.model else [])]
        worker = subprocess.Popen(command, env=environ)
        try:
            asyncio.run(wait_until_ready(uri, worker))
            seen = asyncio.run(measure(uri, options.clients, options.rounds, options.text))
        finally:
            worker.terminate()
            worker.wait(20)
    print(f"{'engine':<10}{'alone ms':>10}{'median ms':>11}{'last ms':>9}{'worst ms':>10}{'last/alone':>12}")
    print(
        f"{options.engine:<10}{seen['alone_ms']:>10}{seen['median_of_many_ms']:>11}{seen['last_of_many_ms']:>9}"
        f"{seen['last_of_many_worst_ms']:>10}{seen['ratio']:>12}"
    )
    print(json.dumps({"benchmark": "tts_fairness", "engine": options.engine, "cores": os.cpu_count(), **seen}))


if __name__ == "__main__":
    main()
