"""Takes what a model thinks aloud out of what it says."""

from collections.abc import Sequence

_TAGS = (("<think>", "</think>"), ("<thinking>", "</thinking>"))


class ThinkingFilter:
    """Passes text on piece by piece, without what stands between thinking tags, closed or not."""

    def __init__(self) -> None:
        """Start outside any tag."""
        self._held = ""
        self._end: str | None = None

    def add(self, text: str) -> str:
        """Return what may be said now; what could be the beginning of a tag is held back."""
        self._held += text
        said = ""
        while self._held:
            if self._end is None:
                found = [(at, start, end) for start, end in _TAGS if (at := self._held.find(start)) >= 0]
                if not found:
                    keep = _open_tail(self._held, [start for start, _ in _TAGS])
                    said += self._held[: len(self._held) - keep]
                    self._held = self._held[len(self._held) - keep :]
                    break
                at, start, self._end = min(found)
                said += self._held[:at]
                self._held = self._held[at + len(start) :]
            else:
                at = self._held.find(self._end)
                if at < 0:
                    self._held = self._held[len(self._held) - _open_tail(self._held, [self._end]) :]
                    break
                self._held = self._held[at + len(self._end) :]
                self._end = None
        return said

    def finish(self) -> str:
        """Return what was held back and turned out to be no tag."""
        said = self._held if self._end is None else ""
        self._held = ""
        return said


def _open_tail(text: str, tags: Sequence[str]) -> int:
    """Return how many characters at the end of `text` may be the beginning of a tag."""
    longest = max(map(len, tags))
    sizes = range(min(longest - 1, len(text)), 0, -1)
    return next((size for size in sizes if any(tag.startswith(text[-size:]) for tag in tags)), 0)
