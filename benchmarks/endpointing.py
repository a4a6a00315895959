"""How long after the last sound a turn ends, and how often it ends too soon.

    python benchmarks/endpointing.py DATA [--sensitivity default] [--engine silero] [--clips N]

DATA holds `speech/*-commands` (clips with `transcripts.jsonl`), `noise` and, if labelled meetings are wanted,
`vad`. Every clip is heard as it is and in worse conditions, each followed by four seconds of the same room.
The true end is that of the last 50 ms of the clean clip that stand 10 dB out of its own noise floor. A turn is *cut
short* if it ends before that. Pauses are measured on pairs of clips with more and more of their room between
them. One JSON line at the end.
"""

import argparse
import itertools
import json
import statistics
import sys
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import soundfile

from wyoming_servers.engines.base import WINDOW_SAMPLES, EngineOptions, Samples, VadEngine
from wyoming_servers.engines.table import Task, load_engine
from wyoming_servers.speech.endpointing import Sensitivity, TurnEnd, TurnEnded, TurnPolicy

RATE_HZ = 16_000
LEAD_SECONDS = 0.5
TAIL_SECONDS = 4.0
WINDOW_MS = WINDOW_SAMPLES * 1000 / RATE_HZ


@dataclass(frozen=True, slots=True, kw_only=True)
class Clip:
    """A spoken command."""

    folder: str
    name: str
    samples: Samples
    end_ms: float
    """Where the last sound ends."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Outcome:
    """How one turn went."""

    clip: str
    delay_ms: float | None
    """From the true end of speech to the end of the turn; None if the turn never ended or nobody was heard."""
    is_cut: bool


def read(file: Path) -> Samples:
    """Read a 16 kHz mono file."""
    samples, rate_hz = soundfile.read(file, dtype="float32")
    if rate_hz != RATE_HZ:
        raise SystemExit(f"{file} is not 16 kHz.")
    return samples


def levels_db(samples: Samples, block: int = 160) -> Samples:
    """Return the level of every 10 ms."""
    blocks = samples[: samples.size // block * block].reshape(-1, block)
    return (10 * np.log10(np.mean(np.square(blocks), axis=1) + 1e-10)).astype(np.float32)


def last_sound_ms(samples: Samples) -> float:
    """Return where the last 50 ms that stand out of a clip's noise floor end."""
    levels = levels_db(samples)
    floor = max(float(np.percentile(levels, 10)) + 10, float(np.percentile(levels, 98)) - 30)
    loud = levels > floor
    run = np.convolve(loud, np.ones(5), "valid") == 5
    return float((np.flatnonzero(run)[-1] + 5) * 10)


def commands(data: Path) -> Iterator[Clip]:
    """Yield the clips of all `*-commands` folders."""
    for folder in sorted((data / "speech").glob("*-commands")):
        for line in (folder / "transcripts.jsonl").read_text(encoding="utf-8").splitlines():
            samples = read(folder / (name := json.loads(line)["file"]))
            yield Clip(folder=folder.name, name=name, samples=samples, end_ms=last_sound_ms(samples))


def conditions(data: Path) -> dict[str, Callable[[Samples], Samples]]:
    """Return what may lie between a mouth and a microphone."""
    rooms = {"clean": lambda audio: audio, "quiet -20 dB": lambda audio: audio * np.float32(0.1)}
    noise_files = {"kitchen": 10, "office": 10, "music": 10, "speech_to_phrase_background": 20}
    for name, decibels in noise_files.items():
        noise = read(data / "noise" / f"{name}.flac")
        rooms[f"{name} {decibels} dB"] = _add_noise(noise, decibels)
    for name in ("rir_1", "rir_2", "rir_3"):
        rooms[name] = _convolve(read(data / "noise" / f"{name}.flac"))
    rooms["rir_1 + office 15 dB"] = _chain(rooms["rir_1"], _add_noise(read(data / "noise/office.flac"), 15))
    return rooms


def _add_noise(noise: Samples, decibels: float) -> Callable[[Samples], Samples]:
    def mix(audio: Samples) -> Samples:
        levels = levels_db(audio)
        speech_db = float(np.mean(levels[levels > np.percentile(levels, 98) - 25]))
        noise_db = 10 * float(np.log10(np.mean(np.square(noise)) + 1e-10))
        gain = 10 ** ((speech_db - decibels - noise_db) / 20)
        return (audio + np.resize(noise, audio.size) * np.float32(gain)).astype(np.float32)

    return mix


def _convolve(response: Samples) -> Callable[[Samples], Samples]:
    direct = response[int(np.argmax(np.abs(response))) :]

    def convolve(audio: Samples) -> Samples:
        size = audio.size + direct.size
        wet = np.fft.irfft(np.fft.rfft(audio, size) * np.fft.rfft(direct, size), size)[: audio.size]
        return (wet * (np.max(np.abs(audio)) / np.max(np.abs(wet)))).astype(np.float32)

    return convolve


def _chain(first: Callable[[Samples], Samples], then: Callable[[Samples], Samples]) -> Callable[[Samples], Samples]:
    return lambda audio: then(first(audio))


def in_room(clip: Clip) -> Samples:
    """Put a clip between silences of its own background."""
    return np.concatenate([room(clip, LEAD_SECONDS), clip.samples, room(clip, TAIL_SECONDS)])


def room(clip: Clip, seconds: float) -> Samples:
    """Return a clip's background alone: its quietest tenth of a second, to and fro."""
    quietest = int(np.argmin(levels_db(clip.samples, 1600)))
    background = clip.samples[quietest * 1600 : (quietest + 1) * 1600]
    return np.resize(np.concatenate([background, background[::-1]]), int(seconds * RATE_HZ))


def longest_pause_ms(first: Clip, second: Clip, engine: VadEngine, sensitivity: Sensitivity) -> int:
    """Return the longest pause between two clips that does not end the turn."""
    begins = int(np.flatnonzero(levels_db(second.samples) > levels_db(second.samples).max() - 20)[0]) * 160
    words = first.samples[: int(first.end_ms * RATE_HZ / 1000)]
    for pause_ms in range(100, 2_000, 25):
        parts = [room(first, LEAD_SECONDS), words, room(first, pause_ms / 1000), second.samples[begins:]]
        _, at_ms = play(probabilities(engine, np.concatenate(parts)), sensitivity)
        if at_ms < LEAD_SECONDS * 1000 + first.end_ms + pause_ms + 50:
            break
    return pause_ms - 25


def probabilities(engine: VadEngine, audio: Samples) -> list[float]:
    """Run a detector over audio."""
    stream = engine.stream()
    starts = range(0, audio.size - WINDOW_SAMPLES + 1, WINDOW_SAMPLES)
    return [stream.probability(audio[start : start + WINDOW_SAMPLES]) for start in starts]


def play(probability: list[float], sensitivity: Sensitivity) -> tuple[TurnEnded | None, float]:
    """Return how a turn ends, and at which moment of the stream that is known."""
    policy = TurnPolicy(sensitivity)
    for value in probability:
        policy.feed(value, WINDOW_MS)
        if policy.ended:
            break
    return policy.ended, policy.position_ms


def measure(clip: Clip, probability: list[float], sensitivity: Sensitivity) -> Outcome:
    """Return how a clip's turn went."""
    ended, at_ms = play(probability, sensitivity)
    if ended is None or ended.reason is not TurnEnd.SILENCE:
        return Outcome(clip=clip.name, delay_ms=None, is_cut=False)
    delay_ms = at_ms - (LEAD_SECONDS * 1000 + clip.end_ms)
    return Outcome(clip=clip.name, delay_ms=delay_ms, is_cut=delay_ms < 0)


def summary(outcomes: list[Outcome]) -> dict[str, float | int]:
    """Return the numbers of one condition."""
    delays = sorted(outcome.delay_ms for outcome in outcomes if outcome.delay_ms is not None)
    return {
        "clips": len(outcomes),
        "ended": len(delays),
        "p50_ms": round(statistics.median(delays)),
        "p95_ms": round(float(np.percentile(delays, 95))),
        "cut_short": sum(outcome.is_cut for outcome in outcomes),
    }


def meetings(data: Path, engine: VadEngine) -> dict[str, float] | None:
    """Return frame-level errors on labelled meetings at a probability of 0.5, in percent of labelled time."""
    labels = data / "vad" / "speech.jsonl"
    if not labels.is_file():
        return None
    counts = np.zeros(4)
    for line in labels.read_text(encoding="utf-8").splitlines():
        row = json.loads(line)
        found = np.array(probabilities(engine, read(labels.parent / row["file"]))) >= 0.5
        middles = (np.arange(found.size) + 0.5) * WINDOW_MS / 1000
        truth = np.zeros(found.size, bool)
        for start, end in row["speech"]:
            truth |= (middles >= start) & (middles < end)
        counts += [np.sum(truth & ~found), np.sum(truth), np.sum(~truth & found), np.sum(~truth)]
    missed, speech, false, silence = counts
    return {"missed_percent": round(100 * missed / speech, 1), "false_percent": round(100 * false / silence, 1)}


def main() -> None:
    """Print the table and the JSON line."""
    parser = argparse.ArgumentParser(description="End-of-turn delay and turns cut short.")
    parser.add_argument("data", type=Path)
    parser.add_argument("--engine", default="silero")
    parser.add_argument("--sensitivity", nargs="+", default=[item.value for item in Sensitivity])
    parser.add_argument("--clips", type=int, default=1, metavar="N", help="take every Nth clip")
    args = parser.parse_args()
    engine: VadEngine = load_engine(Task.VAD, args.engine, EngineOptions(threads=1))
    clips = list(commands(args.data))[:: args.clips]
    report: dict[str, dict[str, dict[str, float | int]]] = {}
    print(f"{'condition':34} {'sensitivity':12} {'p50':>6} {'p95':>6} {'ended':>9} {'cut short':>9}")
    for condition, change in conditions(args.data).items():
        heard = [probabilities(engine, change(in_room(clip))) for clip in clips]
        for name in args.sensitivity:
            outcomes = [measure(clip, each, Sensitivity(name)) for clip, each in zip(clips, heard, strict=True)]
            row = report.setdefault(condition, {})[name] = summary(outcomes)
            ended = f"{row['ended']}/{row['clips']}"
            print(f"{condition:34} {name:12} {row['p50_ms']:6} {row['p95_ms']:6} {ended:>9} {row['cut_short']:9}")
    some = clips[:: max(1, len(clips) // 20)]
    pauses: dict[str, dict[str, int]] = {}
    for name in args.sensitivity:
        found = [longest_pause_ms(*pair, engine, Sensitivity(name)) for pair in itertools.pairwise(some)]
        pauses[name] = {"least_ms": min(found), "p50_ms": round(statistics.median(found))}
        print(f"longest pause within a turn, {name}: at least {min(found)} ms, p50 {pauses[name]['p50_ms']} ms")
    meeting = meetings(args.data, engine)
    result = {"benchmark": "endpointing", "engine": args.engine, "turns": report, "pauses": pauses}
    print(json.dumps({**result, "meetings": meeting}))
    sys.stdout.flush()


if __name__ == "__main__":
    main()
