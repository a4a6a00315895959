"""Speech to text without any download: PocketSphinx, and a language model of the home's own commands.

It understands commands to this home and nothing else, in English. An utterance is decoded whole, because the mean of
its sound has to be known first; that happens in the first pause, while the end of the turn is still being waited
for, so that `finish` most often has the answer already.
"""

import logging
import tempfile
import threading
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from wyoming_servers.engines.base import SAMPLE_RATE_HZ, EngineOptions, Samples, SttRequest, SttResult
from wyoming_servers.engines.stt.pocketsphinx_build import LANGUAGE, current_folder, train
from wyoming_servers.engines.stt.pocketsphinx_features import cepstra
from wyoming_servers.engines.stt.pocketsphinx_model import HomeModel
from wyoming_servers.errors import EngineError, HearthError, ModelError, RequestError

_LOGGER = logging.getLogger(__name__)

CONCURRENCY = 2
LONGEST_SECONDS = 12.0
"""Nobody's command is longer; decoding a speech would only keep others waiting."""
_PAUSE_SAMPLES = SAMPLE_RATE_HZ * 120 // 1000
_PAUSES_SAMPLES = SAMPLE_RATE_HZ * 6
"""Beyond this much sound the words so far are no longer told: decoding all of it again at each pause adds up."""
_BLOCK_SAMPLES = SAMPLE_RATE_HZ // 50
_SHORTEST_SAMPLES = SAMPLE_RATE_HZ * 3 // 10
_TAIL = np.random.default_rng(0).normal(0.0, 2e-4, SAMPLE_RATE_HZ // 5).astype(np.float32)
"""200 ms of a quiet room."""
_QUIET_SHARE = 0.06
"""Of the loudest block's loudness: below it nobody speaks."""


class PocketsphinxStt:
    """The starter."""

    def __init__(self, options: EngineOptions) -> None:
        """Load the home's model, building it if there is none or it is damaged."""
        if options.language.replace("_", "-").split("-")[0].lower() != LANGUAGE:
            raise EngineError(
                f"The starter speech-to-text understands only English, not '{options.language}'. "
                "Set up another engine for this language, such as whisper."
            )
        self._temporary = None if options.data_dir else tempfile.TemporaryDirectory(prefix="hearth-starter-")
        self._data_dir = options.data_dir or Path(self._temporary.name if self._temporary else "")
        self._pairs = max(1, min(CONCURRENCY, options.threads))
        self._lock = threading.Lock()
        self._loader: threading.Thread | None = None
        self._stamp = self._read_stamp()
        self._model = self._load_or_build()

    @property
    def languages(self) -> Sequence[str]:
        """English only: PocketSphinx brings no other acoustic model."""
        return (LANGUAGE,)

    @property
    def supports_partials(self) -> bool:
        """The words so far are told in pauses."""
        return True

    @property
    def is_selective(self) -> bool:
        """Words that are no command give an empty result."""
        return True

    @property
    def concurrency(self) -> int:
        """One utterance per pair of decoders."""
        return self._pairs

    def stream(self, request: SttRequest) -> "PocketsphinxStream":
        """Start an utterance; a model built since the last one is loaded in the background."""
        language = (request.language or LANGUAGE).replace("_", "-").split("-")[0].lower()
        if language != LANGUAGE:
            raise RequestError(
                "unsupported-language",
                f"The starter speech-to-text understands only English, not '{request.language}'.",
            )
        self._reload_if_changed()
        return PocketsphinxStream(self._model)

    def close(self) -> None:
        """Release the model."""
        if self._loader:
            self._loader.join()
        if self._temporary:
            self._temporary.cleanup()

    def _load_or_build(self) -> HomeModel:
        folder = current_folder(self._data_dir)
        if folder:
            try:
                return HomeModel(folder, self._pairs)
            except ModelError as err:
                _LOGGER.warning("%s It is built again now.", err)
        model = HomeModel(train(self._data_dir), self._pairs)
        self._stamp = self._read_stamp()
        return model

    def _read_stamp(self) -> tuple[int, int] | None:
        """Return what changes whenever `current` is replaced."""
        try:
            status = (self._data_dir / "starter" / "current").stat()
        except OSError:
            return None
        return status.st_mtime_ns, status.st_ino

    def _reload_if_changed(self) -> None:
        stamp = self._read_stamp()
        with self._lock:
            is_loading = self._loader is not None and self._loader.is_alive()
            if stamp is None or stamp == self._stamp or is_loading:
                return
            self._stamp = stamp
            self._loader = threading.Thread(target=self._reload, name="stt-reload", daemon=True)
            self._loader.start()

    def _reload(self) -> None:
        folder = current_folder(self._data_dir)
        try:
            if folder is None:
                raise ModelError("The file that names the starter's language model is damaged.")
            self._model = HomeModel(folder, self._pairs)
        except HearthError as err:
            _LOGGER.warning("The new language model cannot be used, the one before stays: %s", err)
            return
        _LOGGER.info("The language model of the new home is in use")


class PocketsphinxStream:
    """One utterance."""

    def __init__(self, model: HomeModel) -> None:
        """Listen with `model`, also if another comes meanwhile."""
        self._model = model
        self._parts: list[Samples] = []
        self._blocks: list[float] = []
        self._rest = np.zeros(0, np.float32)
        self._size = 0
        self._decoded: tuple[int, str] | None = None
        """Blocks there were when the words so far were decoded, and the words."""

    def feed(self, samples: Samples) -> str | None:
        """Take audio; in a pause, return the words so far."""
        if not samples.size or self._size > LONGEST_SECONDS * SAMPLE_RATE_HZ:
            self._size += samples.size
            return None
        self._parts.append(samples)
        self._size += samples.size
        self._measure(samples)
        if self._size > _PAUSES_SAMPLES or not self._is_pause() or self._is_decoded():
            return None
        return self._decode() or None

    def finish(self) -> SttResult:
        """Return the command, or nothing if it was none."""
        if self._size > LONGEST_SECONDS * SAMPLE_RATE_HZ:
            return SttResult(text="", language=LANGUAGE)
        text = self._decoded[1] if self._decoded and self._is_decoded() else self._decode()
        return SttResult(text=text, language=LANGUAGE)

    def close(self) -> None:
        """Drop the audio."""
        self._parts.clear()

    def _decode(self) -> str:
        self._decoded = (len(self._blocks), "")
        sound = self._up_to_pause()
        if sound.size >= _SHORTEST_SAMPLES:
            guess = self._model.listen(cepstra(sound - sound.mean()))
            self._decoded = (len(self._blocks), guess.text if guess.is_trusted else "")
        return self._decoded[1]

    def _up_to_pause(self) -> Samples:
        """Return the words and the beginning of the pause after them, the same however much of it has come.

        A last word that is cut off at its end is heard better with a pause after it, so one is made up.
        """
        sound = np.concatenate(self._parts) if self._parts else np.zeros(0, np.float32)
        quiet = self._quiet() if self._blocks else 0.0
        words = max((index + 1 for index, block in enumerate(self._blocks) if block >= quiet), default=0)
        end = words * _BLOCK_SAMPLES + _PAUSE_SAMPLES
        return sound[:end] if sound.size >= end else np.concatenate((sound, _TAIL))

    def _measure(self, samples: Samples) -> None:
        """Note how loud each 20 ms are."""
        self._rest = np.concatenate((self._rest, samples))
        whole = self._rest.size - self._rest.size % _BLOCK_SAMPLES
        blocks = self._rest[:whole].reshape(-1, _BLOCK_SAMPLES)
        self._rest = self._rest[whole:]
        self._blocks += np.sqrt((blocks**2).mean(axis=1)).tolist()

    def _is_pause(self) -> bool:
        """Whether there were words, and then 120 ms without."""
        last = self._blocks[-(_PAUSE_SAMPLES // _BLOCK_SAMPLES) :]
        return len(self._blocks) * _BLOCK_SAMPLES >= 2 * _SHORTEST_SAMPLES and max(last) < self._quiet()

    def _is_decoded(self) -> bool:
        """Whether nothing was said since the words so far were decoded."""
        return self._decoded is not None and max(self._blocks[self._decoded[0] :], default=0.0) < self._quiet()

    def _quiet(self) -> float:
        """Loudness below which nobody speaks: a share of the loudest, or what the quietest tenth suggests."""
        return max(_QUIET_SHARE * max(self._blocks), 2.0 * float(np.percentile(self._blocks, 10)))
