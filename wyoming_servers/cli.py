"""The `hearth` command: reads the command line and hands over to the room that does the work."""

import argparse
import asyncio
import logging
import sys
from collections.abc import Sequence
from pathlib import Path

from wyoming_servers import __version__
from wyoming_servers.errors import HearthError
from wyoming_servers.settings import TASKS, Settings, load_settings


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="hearth", description="Local voice for Home Assistant.")
    parser.add_argument("--version", action="version", version=f"hearth {__version__}")
    parser.add_argument("--config", type=Path, metavar="FILE", help="settings file (default: hearth.toml here)")
    parser.add_argument("--log-level", metavar="LEVEL", help="debug, info, warning or error")
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    serve = commands.add_parser("serve", help="run one worker as a Wyoming server of its own")
    serve.add_argument("task", choices=TASKS)
    serve.add_argument("--uri", required=True, help="tcp://HOST:PORT, unix:///PATH or stdio://")
    serve.add_argument("--engine", help="engine (default: the best that is installed)")
    serve.add_argument("--model", help="model file or folder, inside a model folder")
    serve.add_argument("--voice", help="tts: the voice used when none is asked for")
    serve.add_argument("--language", help="the household's main language")
    serve.add_argument("--threads", type=int, help="most threads the engine keeps busy")
    serve.set_defaults(run=_serve)
    return parser


def _settings(args: argparse.Namespace, **overrides: object) -> Settings:
    return load_settings(args.config, overrides={"log_level": args.log_level, **overrides})


def _serve(args: argparse.Namespace) -> int:
    from wyoming_servers.workers.run import run_worker  # noqa: PLC0415  # `hearth --help` loads no worker

    given = {f"{args.task}.{key}": getattr(args, key) for key in ("engine", "model", "voice", "threads")}
    settings = _settings(args, language=args.language, **given)
    asyncio.run(run_worker(args.task, args.uri, settings))
    return 0


def _log_to_stderr(level: str) -> None:
    logging.basicConfig(level=level, format="%(asctime)s %(levelname)s %(name)s: %(message)s", stream=sys.stderr)


def main(argv: Sequence[str] | None = None) -> int:
    """Run a command and return its exit status: 0 done, 1 failed, 2 wrong use."""
    args = _parser().parse_args(argv)
    _log_to_stderr((args.log_level or "INFO").upper())
    try:
        status: int = args.run(args)
    except HearthError as err:
        print(f"hearth: {err}", file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return status


if __name__ == "__main__":
    sys.exit(main())
