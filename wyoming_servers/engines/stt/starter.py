"""Builds the starter's language model, or says what has to be installed for that."""

from pathlib import Path

from wyoming_servers.engines.table import Task, find_row
from wyoming_servers.errors import EngineMissingError

_ENGINE = "pocketsphinx"


def train_starter(data_dir: Path) -> Path:
    """Build the model of the home in `data_dir`; return its folder. Raises EngineMissingError without the extra."""
    row = find_row(Task.STT, _ENGINE)
    if not row.is_installed:
        raise EngineMissingError(_ENGINE, row.extra or "all")
    from wyoming_servers.engines.stt.pocketsphinx_build import train  # noqa: PLC0415  # needs the extra

    return train(data_dir)
