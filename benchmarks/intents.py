"""Measure the recogniser on a folder of test sentences laid out as in the OHF-Voice/intents repository.

    python benchmarks/intents.py FOLDER [--language en] [--entities N] [--show]

FOLDER holds one folder per intent, each with YAML files of `tests` (`sentences`, `slots`) and the names they need;
`_fixtures.yaml` beside them, if there is one, is the home of files that name nothing. The speaker stands in a room
of its own ("here"). A sentence is right if it gives exactly one command with the folder's intent and every slot
that is listed, and no other slot but the template's fixed `domain` and the room the speaker is in.
Prints one JSON line: sentences, percent right, and milliseconds a sentence.
"""

import argparse
import json
import statistics
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

from wyoming_servers.intents.home import Home
from wyoming_servers.intents.recogniser import Command, Recogniser

HERE = "Benchmark room"


def main() -> int:
    """Run the benchmark."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("folder", type=Path)
    parser.add_argument("--language", help="language of the sentences; the folder's name if not given")
    parser.add_argument("--entities", type=int, default=0, help="entities nobody asks for, added to each home")
    parser.add_argument("--show", action="store_true", help="print the sentences that went wrong")
    arguments = parser.parse_args()
    language = arguments.language or arguments.folder.name
    started = time.perf_counter()
    Recogniser(Home(language=language))
    load_s = time.perf_counter() - started
    right, times_ms = [], []
    for intent, case, recogniser, here in _cases(arguments.folder, language, arguments.entities):
        for sentence in case["sentences"]:
            started = time.perf_counter()
            commands = recogniser.recognise(sentence, area=here)
            times_ms.append((time.perf_counter() - started) * 1000)
            right.append(_is_right(commands, intent, case.get("slots") or {}, here))
            if arguments.show and not right[-1]:
                got = [(command.intent, command.slots) for command in commands]
                print(f"{intent} {case.get('slots')}: {sentence!r} gave {got}", file=sys.stderr)
    if not right:
        print("No test sentences found.", file=sys.stderr)
        return 1
    print(json.dumps(_summary(language, right, times_ms, load_s)))
    return 0


def _summary(language: str, right: list[bool], times_ms: list[float], load_s: float) -> dict[str, Any]:
    return {
        "language": language,
        "sentences": len(right),
        "right_percent": round(100 * statistics.fmean(right), 2),
        "p50_ms": round(statistics.median(times_ms), 2),
        "p99_ms": round(statistics.quantiles(times_ms, n=100)[98], 2),
        "load_s": round(load_s, 3),
    }


def _cases(folder: Path, language: str, extra: int) -> Iterator[tuple[str, dict[str, Any], Recogniser, str]]:
    fixtures = folder / "_fixtures.yaml"
    common = yaml.safe_load(fixtures.read_text("utf-8")) if fixtures.is_file() else {}
    for path in sorted(folder.glob("*/*.yaml")):
        data = yaml.safe_load(path.read_text("utf-8"))
        named = data if {"entities", "areas", "floors"} & data.keys() else common
        recogniser = Recogniser(_home(named, language, extra))
        here = next((area["name"] for area in named.get("areas", []) if area.get("context_area")), HERE)
        for case in data["tests"]:
            yield path.parent.name, case, recogniser, here


def _home(data: dict[str, Any], language: str, extra: int) -> Home:
    floors = {floor.get("id", floor["name"]): floor["name"] for floor in data.get("floors", [])}
    areas = {area.get("id", area["name"]): area for area in data.get("areas", [])}
    entities = [_entity(number, entity, areas) for number, entity in enumerate(data.get("entities", []))]
    for number in range(extra):
        name = f"Spare thing {number // 26} {chr(97 + number % 26)}"
        entities.append({"entity_id": f"light.spare_{number}", "name": name})
    home = {
        "language": language,
        "floors": [{"id": floor_id, "name": name} for floor_id, name in floors.items()],
        "areas": [
            *(
                {
                    "id": area_id,
                    "name": area["name"],
                    "floor": area.get("floor") if area.get("floor") in floors else None,
                }
                for area_id, area in areas.items()
            ),
            {"id": HERE, "name": HERE},
        ],
        "entities": entities,
    }
    return Home.from_json(home)


def _entity(number: int, entity: dict[str, Any], areas: dict[str, Any]) -> dict[str, Any]:
    domain = entity.get("domain") or entity["id"].split(".")[0]
    return {
        "entity_id": f"{domain}.entity_{number}",
        "name": entity["name"],
        "domain": domain,
        "device_class": entity.get("attributes", {}).get("device_class"),
        "area": entity.get("area") if entity.get("area") in areas else None,
    }


def _is_right(commands: tuple[Command, ...], intent: str, slots: dict[str, Any], here: str) -> bool:
    if len(commands) != 1 or commands[0].intent != intent:
        return False
    found = dict(commands[0].slots)
    for slot, fixed in (("domain", found.get("domain")), ("area", here)):
        if slot not in slots and found.get(slot) == fixed:
            found.pop(slot, None)
    return found.keys() == slots.keys() and all(_is_one_of(found[slot], slots[slot]) for slot in slots)


def _is_one_of(value: Any, wanted: Any) -> bool:
    return value in wanted if isinstance(wanted, list) else bool(value == wanted)


if __name__ == "__main__":
    sys.exit(main())
