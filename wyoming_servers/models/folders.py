"""How a model's name becomes a path, and why it can never become any other path."""

from collections.abc import Sequence
from pathlib import Path

from wyoming_servers.errors import ModelError


def resolve_model(name: str, folders: Sequence[Path]) -> Path:
    """Return the existing file or folder that `name` means, inside one of the model folders.

    `name` is a path relative to a model folder, or an absolute one that lies in it once links are followed.
    Raises ModelError for anything else.
    """
    if not name.strip() or "\0" in name:
        raise ModelError("A model's name cannot be empty.")
    for folder in folders:
        root = folder.expanduser().resolve()
        candidate = (root / Path(name).expanduser()).resolve()
        if candidate != root and candidate.is_relative_to(root) and candidate.exists():
            return candidate
    places = ", ".join(str(folder) for folder in folders) or "none are set"
    raise ModelError(f"There is no model '{name}' in the model folders ({places}).")
