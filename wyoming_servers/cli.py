"""The `hearth` command: reads the command line and hands over to the room that does the work."""

import argparse
import asyncio
import functools
import json
import logging
import os
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING

from wyoming_servers import __version__
from wyoming_servers.errors import HearthError
from wyoming_servers.settings import TASKS, Settings, load_settings

if TYPE_CHECKING:
    from wyoming_servers.ask.turn import Asking


_WORKER_OPTIONS = {
    "engine": (TASKS, "engine (default: the best that is installed)"),
    "model": (TASKS, "model file or folder, inside a model folder"),
    "threads": (TASKS, "most threads the engine keeps busy (default: one per core, at most 4)"),
    "voice": (("tts",), "the voice used when none is asked for"),
    "url": (("llm",), "address of an OpenAI-compatible server"),
    "model_name": (("llm",), "what that server calls the model"),
}
"""Settings of a worker that the command line can change: for which tasks, and what they are."""


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hearth", description="Local voice for Home Assistant.")
    parser.add_argument("--version", action="version", version=f"hearth {__version__}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: hearth.toml here)")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run one worker as a Wyoming server of its own")
    serve.add_argument("task", choices=TASKS)
    serve.add_argument("--uri", required=True, help="tcp://HOST:PORT, unix:///PATH or stdio://")
    for name, (tasks, text) in _WORKER_OPTIONS.items():
        note = "" if tasks == TASKS else f"{', '.join(tasks)}: "
        serve.add_argument(f"--{name.replace('_', '-')}", metavar=name.upper(), help=note + text)
    serve.add_argument("--language", help="the household's main language")
    serve.add_argument("--data-dir", metavar="DIR", help="where Hearth keeps what it makes; models lie in DIR/models")
    serve.add_argument("--ends-with-parent", action="store_true", help=argparse.SUPPRESS)
    serve.set_defaults(run=_serve)
    train = commands.add_parser("train", help="build the starter's language model for the home")
    train.add_argument("--data-dir", metavar="DIR", help="where Hearth keeps what it makes")
    train.set_defaults(run=_train)
    _add_run(commands)
    _add_ask(commands)
    return parser


def _add_run(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    run = commands.add_parser("run", help="run everything: the workers, and the hub Home Assistant talks to")
    run.add_argument("--uri", help="where Home Assistant finds it (default: tcp://127.0.0.1:10700)")
    run.add_argument("--http-host", help="where HTTP listens; other than loopback it asks for a token")
    run.add_argument("--http-port", type=int)
    run.add_argument("--check-only", action="store_true", help="end after the self-check, 1 if it failed")
    run.set_defaults(run=_run)
    doctor = commands.add_parser("doctor", help="say what is running, what is missing and how to get it")
    doctor.add_argument("--json", action="store_true", help="print one JSON document")
    doctor.set_defaults(run=_doctor)
    for parser in (run, doctor):
        parser.add_argument("--language", help="the household's main language")
        parser.add_argument("--data-dir", metavar="DIR", help="where Hearth keeps what it makes")
        for name, (tasks, text) in _WORKER_OPTIONS.items():
            for task in tasks:
                option = f"--{task}-{name.replace('_', '-')}"
                parser.add_argument(option, metavar=name.upper(), help=f"{task}: {text}")


def _add_ask(commands: "argparse._SubParsersAction[argparse.ArgumentParser]") -> None:
    ask = commands.add_parser("ask", help="ask a running Hearth something, the way Home Assistant does")
    question = ask.add_mutually_exclusive_group(required=True)
    question.add_argument("--text", help="a written sentence")
    question.add_argument("--wav", type=Path, metavar="FILE", help="a spoken one: 16-bit PCM, 8 to 48 kHz")
    ask.add_argument("--out", type=Path, metavar="FILE", default=Path("reply.wav"), help="reply (default: %(default)s)")
    ask.add_argument("--json", action="store_true", help="print one JSON document")
    ask.set_defaults(run=_ask)
    listen = commands.add_parser("listen", help="talk to a running Hearth with the microphone; Ctrl-C ends it")
    listen.set_defaults(run=_listen)
    for parser in (ask, listen):
        parser.add_argument("--uri", help="where Hearth is (default: the hub of the settings)")
        parser.add_argument("--language", help="language of the sentence (default: the server's)")
        parser.add_argument("--device-id", metavar="ID", help="ask as this satellite of the home")
        parser.add_argument("--vad-sensitivity", choices=("default", "relaxed", "aggressive"))


def _settings(args: argparse.Namespace, **overrides: object) -> Settings:
    settings = load_settings(args.config, overrides={"log_level": args.log_level, **overrides})
    logging.getLogger().setLevel(settings.log_level)
    return settings


def _serve(args: argparse.Namespace) -> int:
    from wyoming_servers.workers.parent import end_with_parent  # noqa: PLC0415  # `hearth --help` loads no worker
    from wyoming_servers.workers.run import run_worker  # noqa: PLC0415

    if args.ends_with_parent:
        end_with_parent()
    given = {f"{args.task}.{name}": getattr(args, name) for name in _WORKER_OPTIONS}
    settings = _settings(args, language=args.language, data_dir=args.data_dir, **given)
    asyncio.run(run_worker(args.task, args.uri, settings))
    return 0


def _train(args: argparse.Namespace) -> int:
    from wyoming_servers.engines.stt.starter import train_starter  # noqa: PLC0415  # `hearth --help` loads no engine

    train_starter(_settings(args, data_dir=args.data_dir).data_dir)
    return 0


def _hub_settings(args: argparse.Namespace, **overrides: object) -> Settings:
    if args.config:
        # The workers read the same file.
        os.environ["HEARTH_CONFIG"] = str(args.config.resolve())
    given = {
        f"{task}.{name}": getattr(args, f"{task}_{name}")
        for name, (tasks, _) in _WORKER_OPTIONS.items()
        for task in tasks
    }
    return _settings(args, language=args.language, data_dir=args.data_dir, **given, **overrides)


def _run(args: argparse.Namespace) -> int:
    from wyoming_servers.hub.run import run_hub  # noqa: PLC0415  # `hearth --help` loads no hub

    given = {"hub.uri": args.uri, "hub.http_host": args.http_host, "hub.http_port": args.http_port}
    settings = _hub_settings(args, **given)
    say = functools.partial(print, flush=True)
    return asyncio.run(run_hub(settings, check_only=args.check_only, say=say))


def _doctor(args: argparse.Namespace) -> int:
    from wyoming_servers.hub.doctor import examine, render_findings  # noqa: PLC0415

    findings = asyncio.run(examine(_hub_settings(args)))
    print(json.dumps(findings, ensure_ascii=False, indent=1) if args.json else render_findings(findings))
    return 0 if findings["is_fine"] else 1


def _asking(args: argparse.Namespace) -> "Asking":
    from wyoming_servers.ask.turn import Asking  # noqa: PLC0415  # `hearth --help` loads no client

    return Asking(
        uri=args.uri or _settings(args).hub.uri,
        language=args.language,
        device_id=args.device_id,
        vad_sensitivity=args.vad_sensitivity,
    )


def _ask(args: argparse.Namespace) -> int:
    from wyoming_servers.ask.answer import Answer  # noqa: PLC0415
    from wyoming_servers.ask.recording import PlayedRecording, WavFile, read_recording  # noqa: PLC0415
    from wyoming_servers.ask.turn import Turn  # noqa: PLC0415

    try:
        question = args.text if args.wav is None else PlayedRecording(read_recording(args.wav))
        answer = asyncio.run(Turn(_asking(args)).run(question, WavFile(args.out)))
    except HearthError as err:
        answer = Answer(error=str(err))
    print(json.dumps(answer.to_json(), ensure_ascii=False, indent=1) if args.json else answer.to_text())
    return 0 if answer.error is None else 1


def _listen(args: argparse.Namespace) -> int:
    from wyoming_servers.listen import Loudspeaker, Microphone, listen, load_sounddevice  # noqa: PLC0415

    device = load_sounddevice()
    print("Listening. Ctrl-C ends it.")
    asyncio.run(
        listen(
            _asking(args),
            lambda answer: print(answer.to_text() + "\n", flush=True),
            lambda: Microphone(device),
            lambda: Loudspeaker(device),
        )
    )
    return 0


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 wrong use."""
    args = _parser().parse_args(argv)
    logging.basicConfig(format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)
    try:
        status: int = args.run(args)
    except HearthError as err:
        print(f"hearth: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    except BrokenPipeError:
        # Whoever read our output has had enough of it; what is still buffered goes nowhere.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 1
    return status


if __name__ == "__main__":
    sys.exit(main())
