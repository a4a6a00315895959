#!/usr/bin/env python3
"""How much the starter speech-to-text understands, what it makes of other speech, and how long it takes.

Every clip goes through the worker's own listener (Silero and the end of the turn) and then the engine, 32 ms at a
time. A command is right if the recogniser makes the same intents and slots of the transcript as of the reference
text; a clip whose reference is no command of the templates, if the words are the same. Prints a table and one line of
JSON.

    benchmarks/starter_stt.py DATA            DATA/speech/en-commands, …/out-of-vocabulary, DATA/noise; see --help
"""

import argparse
import json
import re
import statistics
import tempfile
import time
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

import numpy as np
import soundfile

from wyoming_servers.engines.base import EngineOptions, Samples, SttRequest
from wyoming_servers.engines.stt.pocketsphinx import PocketsphinxStt
from wyoming_servers.engines.vad.steady import load_vad
from wyoming_servers.intents.home import Home
from wyoming_servers.intents.recogniser import Recogniser
from wyoming_servers.speech.audio import AudioFormat, to_pcm
from wyoming_servers.speech.endpointing import Sensitivity
from wyoming_servers.workers.listener import Listener

HOME = Path(__file__).with_name("starter_home.json")
AREA = "kitchen"
FORMAT = AudioFormat(rate_hz=16_000, width_bytes=2, channels=1)
CONDITIONS = {
    "clean": (None, None, 0.0, 1.0),
    "quiet": (None, None, 0.0, 0.05),
    "office 20 dB": (None, "office", 20.0, 1.0),
    "kitchen 15 dB": (None, "kitchen", 15.0, 1.0),
    "music 15 dB": (None, "music", 15.0, 1.0),
    "room 1": ("rir_1", None, 0.0, 1.0),
    "room 2": ("rir_2", None, 0.0, 1.0),
    "room 3, office 20 dB": ("rir_3", "office", 20.0, 0.3),
}
"""Room response, noise, signal to noise in dB, gain."""
OTHER_SPEECH = ("out-of-vocabulary", "general", "de-commands", "fr-commands", "es-commands")


@dataclass
class Timings:
    """Milliseconds spent in the engine."""

    finish: list[float] = field(default_factory=list)
    pause: list[float] = field(default_factory=list)
    fed: float = 0.0
    audio: float = 0.0


def clips(folder: Path) -> Iterator[tuple[str, str | None, Samples]]:
    """Yield name, text and sound of a folder's clips."""
    for line in (folder / "transcripts.jsonl").read_text("utf-8").splitlines():
        entry = json.loads(line)
        yield entry["file"], entry.get("text"), soundfile.read(folder / entry["file"], dtype="float32")[0]


def spoil(sound: Samples, condition: str, noises: Path, seed: int) -> Samples:
    """Put a clip into a room, with noise, at a level."""
    room, noise, ratio_db, gain = CONDITIONS[condition]
    if room:
        response = soundfile.read(noises / f"{room}.flac", dtype="float32")[0]
        sound = np.convolve(sound, response[max(0, int(np.argmax(np.abs(response))) - 32) :]).astype(np.float32)
        sound = sound / max(1e-6, float(np.abs(sound).max())) * 0.5
    if noise:
        bed = soundfile.read(noises / f"{noise}.flac", dtype="float32")[0]
        bed = np.resize(np.roll(bed, -seed * 7919), sound.size)
        loud = float(np.sort(sound**2)[-sound.size // 3 :].mean())
        sound = sound + bed * np.sqrt(loud / 10 ** (ratio_db / 10) / float((bed**2).mean()))
    return np.clip(sound * gain, -1, 1).astype(np.float32)


class Bench:
    """The engine behind the worker's listener."""

    def __init__(self, engine: PocketsphinxStt, home: Home) -> None:
        """Measure `engine`."""
        self.engine = engine
        self.recogniser = Recogniser(home)
        self.vad = load_vad(EngineOptions(threads=1))
        self.timings = Timings()

    def transcribe(self, sound: Samples) -> str:
        """Return what the engine makes of a clip."""
        listener = Listener(self.vad.stream(), FORMAT, Sensitivity.DEFAULT)
        stream = self.engine.stream(SttRequest())
        sound = np.concatenate((sound, np.zeros(16_000, np.float32)))
        longest = 0.0
        for start in range(0, sound.size, 512):
            for piece in listener.hear(to_pcm(sound[start : start + 512])).speech:
                began = time.perf_counter()
                stream.feed(piece)
                spent = (time.perf_counter() - began) * 1000
                longest = max(longest, spent)
                self.timings.fed += spent
            if listener.ended:
                break
        if not listener.has_speech:
            return ""
        began = time.perf_counter()
        text = stream.finish().text
        self.timings.finish.append((time.perf_counter() - began) * 1000)
        self.timings.pause.append(longest)
        self.timings.audio += start / 16.0
        return text

    def is_right(self, text: str, reference: str) -> bool:
        """Whether a transcript means what was said."""
        meant = self.commands(reference)
        return self.commands(text) == meant if meant else plain(text) == plain(reference)

    def commands(self, text: str) -> list[tuple[str, object]]:
        """Return intents and slots of a text."""
        return [(one.intent, one.slots) for one in self.recogniser.recognise(text, area=AREA)]


def plain(text: str) -> list[str]:
    """Return the words without signs and capitals."""
    return re.findall(r"[\w']+", text.lower())


def main() -> None:
    """Measure, print the table, print the line."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0] if __doc__ else None)
    parser.add_argument("data", type=Path, help="folder with speech/ and noise/")
    parser.add_argument("--only", nargs="*", choices=CONDITIONS, default=list(CONDITIONS), help="conditions")
    parser.add_argument("--every", type=int, default=1, help="take every n-th synthetic clip under spoilt conditions")
    parser.add_argument("--misses", action="store_true", help="print what was not understood")
    args = parser.parse_args()
    home = Home.from_json(json.loads(HOME.read_text("utf-8")))
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "home.json").write_text(HOME.read_text("utf-8"), "utf-8")
        began = time.perf_counter()
        engine = PocketsphinxStt(EngineOptions(data_dir=Path(folder)))
        built = time.perf_counter() - began
        print(json.dumps({"build_and_load_s": round(built, 2), **measure(Bench(engine, home), args)}))
        engine.close()


def measure(bench: Bench, args: argparse.Namespace) -> dict[str, object]:
    """Return every number, and print the table."""
    right: dict[str, str] = {}
    for condition in args.only:
        for kind in ("synthetic", "human"):
            got = total = 0
            for number, (name, reference, sound) in enumerate(clips(args.data / "speech/en-commands")):
                is_human = name.startswith("human")
                if is_human != (kind == "human") or (condition != "clean" and not is_human and number % args.every):
                    continue
                text = bench.transcribe(spoil(sound, condition, args.data / "noise", number))
                is_right = bench.is_right(text, reference or "")
                got, total = got + is_right, total + 1
                if args.misses and not is_right:
                    print(f"  {condition}: {reference!r} → {text!r}")
            right[f"{condition}, {kind}"] = f"{got}/{total}"
            print(f"{condition + ', ' + kind:34} right {got:3}/{total:<3} {got / max(1, total):6.1%}", flush=True)
    times = {
        "finish_ms_p50": round(statistics.median(bench.timings.finish)),
        "finish_ms_p95": round(statistics.quantiles(bench.timings.finish, n=20)[18]),
        "pause_ms_p50": round(statistics.median(bench.timings.pause)),
        "pause_ms_p95": round(statistics.quantiles(bench.timings.pause, n=20)[18]),
        "feed_real_time_factor": round(bench.timings.fed / bench.timings.audio, 3),
    }
    print(", ".join(f"{key} {value}" for key, value in times.items()))
    accepted: dict[str, str] = {}
    for folder in OTHER_SPEECH:
        taken = total = 0
        for name, _, sound in clips(args.data / "speech" / folder):
            text = bench.transcribe(sound)
            is_command = bool(bench.commands(text))
            taken, total = taken + is_command, total + 1
            if args.misses and text:
                print(f"  {folder} {name}: {text!r}{' (a command)' if is_command else ''}")
        accepted[folder] = f"{taken}/{total}"
        print(f"{folder:34} taken {taken:3}/{total:<3} {taken / max(1, total):6.1%}", flush=True)
    return {"right": right, "taken_for_commands": accepted, **times}


if __name__ == "__main__":
    main()
