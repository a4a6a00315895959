"""What a person waits for: whole turns, spoken to a running hub at the pace of speech, as `hearth ask --wav` does it.

    python benchmarks/turns.py FOLDER [--uri tcp://127.0.0.1:10700] [--parallel 1] [--sensitivity default] [--show]

FOLDER holds WAV or FLAC clips. The end of speech is found by level in each clip. A turn is *cut short* if its end
was noticed before that. Prints one JSON line: milliseconds at the median and the 95th percentile, of the end of the
turn, of each stage and of the whole; turns cut short; turns that failed.
"""

import argparse
import asyncio
import json
import statistics
import tempfile
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path

import soundfile

from wyoming_servers.ask.answer import Answer, Timings
from wyoming_servers.ask.recording import PlayedRecording, Recording, WavFile
from wyoming_servers.ask.turn import Asking, Turn


def read_clip(path: Path) -> Recording:
    """Read a clip of any format."""
    samples, rate_hz = soundfile.read(path, dtype="int16", always_2d=True)
    return Recording(pcm=samples.astype("<i2").tobytes(), rate_hz=rate_hz, channels=samples.shape[1])


async def take_turns(args: argparse.Namespace, clips: Sequence[Path]) -> list[tuple[Path, Answer]]:
    """Speak every clip, some of them side by side."""
    free = asyncio.Semaphore(args.parallel)
    asking = Asking(uri=args.uri, vad_sensitivity=args.sensitivity)

    async def take_turn(path: Path) -> tuple[Path, Answer]:
        async with free:
            with tempfile.TemporaryDirectory() as folder:
                source = PlayedRecording(await asyncio.to_thread(read_clip, path))
                answer = await Turn(asking).run(source, WavFile(Path(folder) / "reply.wav"))
            if args.show:
                print(path.name, json.dumps(answer.to_json(), ensure_ascii=False), flush=True)
            return path, answer

    return await asyncio.gather(*map(take_turn, clips))


def summarise(turns: Sequence[tuple[Path, Answer]]) -> dict[str, object]:
    """Return the one line."""
    answers = [answer for _, answer in turns]
    endpoints = [answer.timings_ms.endpoint for answer in answers]
    line: dict[str, object] = {
        "turns": len(turns),
        "cut_short": sum(end is not None and end < 0 for end in endpoints),
        "nothing_heard": sum(answer.transcript == "" for answer in answers),
        "failed": sum(answer.error is not None and answer.transcript != "" for answer in answers),
        "with_command": sum(bool(answer.intents) for answer in answers),
    }
    for stage in asdict(Timings()):
        if values := sorted(value for answer in answers if (value := getattr(answer.timings_ms, stage)) is not None):
            p95 = values[min(len(values) - 1, int(0.95 * len(values)))]
            line[f"{stage}_ms"] = {"median": round(statistics.median(values), 1), "p95": p95}
    return line


def main() -> None:
    """Do what the command line says."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--uri", default="tcp://127.0.0.1:10700")
    parser.add_argument("--parallel", type=int, default=1, help="turns side by side; more than one slows each")
    parser.add_argument("--sensitivity", choices=("default", "relaxed", "aggressive"), default="default")
    parser.add_argument("--show", action="store_true", help="print each answer as well")
    args = parser.parse_args()
    clips = sorted(path for path in args.folder.iterdir() if path.suffix in {".wav", ".flac"})
    print(json.dumps({"benchmark": "turns", **summarise(asyncio.run(take_turns(args, clips)))}))


if __name__ == "__main__":
    main()
