"""Every error Hearth raises on purpose.

    HearthError
    ├── RequestError        the client asked for something we refuse; the text is sent to it
    ├── SettingsError       hearth.toml, the environment or the command line is wrong
    │   └── AddressError        an address that cannot be listened on
    ├── EngineError         an engine failed at its work
    │   └── EngineMissingError  its library is not installed; names the extra that brings it
    ├── ModelError          a model's files are absent, damaged or out of bounds
    └── WorkerError         a worker process cannot be reached or has ended

`code` is for machines and stays stable; the text is one plain sentence for a person. It never
holds speech, a prompt or a name of the home.
"""

import errno
from traceback import format_tb
from typing import ClassVar


def how_to_install(extra: str) -> str:
    """Return what a person types to add an extra, in a clone or without one."""
    return f"script/run --with {extra} (or: pip install 'hearth-voice[{extra}]')"


def where_it_failed(error: BaseException) -> str:
    """Return an unexpected error's kind and place for a log, without its own text, which may hold what was said."""
    return f"{type(error).__name__}, raised at\n{''.join(format_tb(error.__traceback__)).rstrip()}"


class HearthError(Exception):
    """Base of all errors that carry a code and a sentence fit for a user."""

    code: ClassVar[str] = "internal"


class RequestError(HearthError):
    """A request that is refused; the sender gets the text as a Wyoming `error` event."""

    def __init__(self, code: str, text: str) -> None:
        """Refuse with a stable `code` such as `payload-too-large` and a sentence."""
        super().__init__(text)
        self.code = code  # type: ignore[misc]  # per instance here, per class elsewhere


class SettingsError(HearthError):
    """A setting that cannot be used."""

    code = "bad-settings"


class AddressError(SettingsError):
    """An address that cannot be listened on."""

    def __init__(self, address: str, cause: OSError) -> None:
        """Say which address, and why."""
        why = "it is in use, perhaps by Hearth itself" if cause.errno == errno.EADDRINUSE else cause.strerror or cause
        super().__init__(f"Cannot listen on {address}: {why}.")


class EngineError(HearthError):
    """An engine failed."""

    code = "engine-failed"


class EngineMissingError(EngineError):
    """An engine's library is not installed."""

    code = "engine-missing"

    def __init__(self, engine: str, extra: str) -> None:
        """Name the engine and the extra that installs it."""
        super().__init__(f"The engine '{engine}' is not installed. Install it with: {how_to_install(extra)}")
        self.extra = extra


class ModelError(HearthError):
    """A model cannot be found, read or trusted."""

    code = "bad-model"


class WorkerError(HearthError):
    """A worker process is not there to answer."""

    code = "worker-lost"
