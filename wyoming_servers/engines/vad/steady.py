"""A detector that goes on when its model does not: the one place where energy takes over.

A VAD that fails must not look like silence, for then nobody would ever be heard again. So a model that
cannot be loaded, or raises in the middle of a stream, is replaced by the energy detector, with one warning.
"""

import logging

from wyoming_servers.engines.base import EngineOptions, Samples, VadEngine, VadStream
from wyoming_servers.engines.table import Task, load_engine
from wyoming_servers.engines.vad.energy import EnergyVad
from wyoming_servers.errors import HearthError

_LOGGER = logging.getLogger(__name__)


def load_vad(options: EngineOptions) -> VadEngine:
    """Return Silero, or the energy detector where Silero cannot be loaded."""
    try:
        engine: VadEngine = load_engine(Task.VAD, "silero", options)
    except (HearthError, ImportError) as err:
        _LOGGER.warning("Speech is detected by its level alone: %s", err)
        return EnergyVad(options)
    return engine


class SteadyVad:
    """Any detector, with the energy detector behind it."""

    def __init__(self, engine: VadEngine) -> None:
        """Guard `engine`."""
        self._engine = engine
        self._fallback = EnergyVad(EngineOptions())
        self._is_warned = False

    def stream(self) -> "SteadyVadStream":
        """Start a stream that cannot fail."""
        return SteadyVadStream(self)

    def close(self) -> None:
        """Release the guarded model."""
        self._engine.close()

    def start_model(self) -> VadStream | None:
        """Start a stream of the guarded model, or None if it fails at that."""
        try:
            return self._engine.stream()
        except Exception as err:  # noqa: BLE001  # native code raises whatever it likes, and listening must go on
            self.warn(err)
            return None

    def start_fallback(self) -> VadStream:
        """Start a stream of the energy detector."""
        return self._fallback.stream()

    def warn(self, error: Exception) -> None:
        """Say once that the model fails."""
        if not self._is_warned:
            self._is_warned = True
            _LOGGER.warning("The speech detector failed (%s); the level decides instead", type(error).__name__)


class SteadyVadStream:
    """The model's stream until it fails, then the energy detector's."""

    def __init__(self, engine: SteadyVad) -> None:
        """Start both, so that the energy detector knows the room when it is needed."""
        self._engine = engine
        self._model = engine.start_model()
        self._fallback = engine.start_fallback()

    def probability(self, window: Samples) -> float:
        """Return what the model says, or the energy detector in its place."""
        level = self._fallback.probability(window)
        if self._model is None:
            return level
        try:
            return self._model.probability(window)
        except Exception as err:  # noqa: BLE001  # see `start_model`
            self._engine.warn(err)
            self._model = None
            return level
