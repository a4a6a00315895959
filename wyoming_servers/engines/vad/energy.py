"""Speech is what stands out of the room's own noise: the detector that needs no model.

The room's level is the lowest that was heard in the last two seconds: voices always dip between syllables,
machines do not, so a steady noise stops being speech after two seconds however loud it is.
"""

import math
from collections import deque

import numpy as np

from wyoming_servers.engines.base import EngineOptions, Samples

_FLOOR_WINDOWS = 62
_QUIETEST_DB = -65.0
_FIRST_FLOOR_DB = -40.0
"""A stream may begin in the middle of a word, so its first window says little about the room."""
_MARGIN_DB = 12.0
"""How far above the room's level even odds of speech are."""
_SLOPE_DB = 2.0


class EnergyVad:
    """Nothing is loaded."""

    def __init__(self, options: EngineOptions) -> None:
        """Take nothing from `options`."""

    def stream(self) -> "EnergyVadStream":
        """Start in an unknown room."""
        return EnergyVadStream()

    def close(self) -> None:
        """Release nothing."""


class EnergyVadStream:
    """The recent levels of one connection."""

    def __init__(self) -> None:
        """Begin without any."""
        self._levels_db: deque[float] = deque(maxlen=_FLOOR_WINDOWS)

    def probability(self, window: Samples) -> float:
        """Return how likely the level is to be speech's."""
        power = float(np.mean(np.square(window, dtype=np.float64)))
        level_db = max(_QUIETEST_DB, 10 * math.log10(power + 1e-12))
        self._levels_db.append(level_db if self._levels_db else min(level_db, _FIRST_FLOOR_DB))
        over_db = level_db - min(self._levels_db) - _MARGIN_DB
        return 1 / (1 + math.exp(-over_db / _SLOPE_DB))
