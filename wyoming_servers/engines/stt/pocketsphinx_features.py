"""Sound → the cepstra PocketSphinx's acoustic model was trained on, made here rather than in the decoder.

The decoder can subtract the mean of a whole utterance only where it is given the whole at once, and then holds
Python's global lock until it is through. With the mean taken here it can be fed in small steps. Without the right
mean it understands next to nothing: of 73 clips 3 rather than 66.

Values are those of the model's `feat.params`; noise suppression follows the decoder's own (a running lower envelope
of each mel band, subtracted, with temporal masking).
"""

import numpy as np
import numpy.typing as npt

from wyoming_servers.engines.base import SAMPLE_RATE_HZ, Samples

Floats = npt.NDArray[np.float64]

HOP_SAMPLES = 160
FEATURE_PARAMETERS = (
    "-lowerf 130\n-upperf 6800\n-nfilt 25\n-transform dct\n-lifter 22\n-feat 1s_c_d_dd\n-svspec 0-12/13-25/26-38\n"
    "-agc none\n-cmn none\n-varnorm no\n-model ptm\n-remove_noise no\n"
)
"""The acoustic model's own, with what is done here turned off."""

_WINDOW_SAMPLES, _FFT_SIZE, _BANDS, _CEPSTRA = 410, 512, 25, 13
_LOW_HZ, _HIGH_HZ = 130.0, 6800.0
_PRE_EMPHASIS = 0.97
_SMOOTH, _RISE, _FALL, _MASK, _MASKED, _MOST_GAIN, _NEIGHBOURS = 0.7, 0.995, 0.5, 0.85, 0.2, 20.0, 4
_SPEECH_SHARE = 0.7


def _mel(frequency_hz: Floats | float) -> Floats:
    return 2595.0 * np.log10(1.0 + np.asarray(frequency_hz) / 700.0)


def _filter_bank() -> Floats:
    """Return triangular filters of equal area, their corners on whole bins: shape (bins, bands)."""
    bin_hz = SAMPLE_RATE_HZ / _FFT_SIZE
    corners_mel = np.linspace(_mel(_LOW_HZ), _mel(_HIGH_HZ), _BANDS + 2)
    corners = np.floor(700.0 * (10.0 ** (corners_mel / 2595.0) - 1.0) / bin_hz + 0.5) * bin_hz
    frequencies = np.arange(_FFT_SIZE // 2 + 1)[:, None] * bin_hz
    low, middle, high = corners[:-2], corners[1:-1], corners[2:]
    slopes = np.minimum((frequencies - low) / (middle - low), (high - frequencies) / (high - middle))
    bank: Floats = np.maximum(slopes, 0.0) * 2.0 / (high - low)
    return bank


_BANK = _filter_bank()
_HAMMING = np.hamming(_WINDOW_SAMPLES)
_ORDER, _BAND = np.arange(_CEPSTRA)[:, None], np.arange(_BANDS)[None, :]
_COSINES = np.cos(np.pi / _BANDS * (_BAND + 0.5) * _ORDER) * np.sqrt(np.where(_ORDER == 0, 1.0, 2.0) / _BANDS)
_LIFTER = 1.0 + 11.0 * np.sin(np.arange(_CEPSTRA) * np.pi / 22.0)
_REACH = np.abs(np.arange(_BANDS)[:, None] - np.arange(_BANDS)[None, :]) <= _NEIGHBOURS
_SMEAR = _REACH / _REACH.sum(axis=1, keepdims=True)


def cepstra(samples: Samples) -> npt.NDArray[np.float32]:
    """Return noise-suppressed, mean-normalised cepstra, shape (frames, 13); no frames for less than 26 ms of sound."""
    bands = _suppress_noise(_mel_bands(samples))
    if not bands.size:
        return np.zeros((0, _CEPSTRA), np.float32)
    raw = (np.log(np.maximum(bands, 1e-4)) @ _COSINES.T) * _LIFTER
    normalised: npt.NDArray[np.float32] = (raw - _mean(raw)).astype(np.float32)
    return normalised


def _mel_bands(samples: Samples) -> Floats:
    sound = samples.astype(np.float64) * 32768.0
    sound[1:] -= _PRE_EMPHASIS * sound[:-1].copy()
    if sound.size < _WINDOW_SAMPLES:
        return np.zeros((0, _BANDS))
    frames = np.lib.stride_tricks.sliding_window_view(sound, _WINDOW_SAMPLES)[::HOP_SAMPLES] * _HAMMING
    spectrum = np.fft.rfft(frames, _FFT_SIZE)
    bands: Floats = (spectrum.real**2 + spectrum.imag**2) @ _BANK
    return np.maximum(bands, 1.0)


def _envelope(power: Floats, floor: Floats) -> Floats:
    """Follow a floor: slowly up, quickly down."""
    pace = np.where(power >= floor, _RISE, _FALL)
    return pace * floor + (1.0 - pace) * power


def _suppress_noise(bands: Floats) -> Floats:
    if not bands.size:
        return bands
    clean = np.empty_like(bands)
    power, peak = bands[0], np.zeros(_BANDS)
    noise = floor = bands[0] / _MOST_GAIN
    for index, band in enumerate(bands):
        power = _SMOOTH * power + (1.0 - _SMOOTH) * band
        noise = _envelope(power, noise)
        signal = np.maximum(power - noise, 1.0)
        floor = _envelope(signal, floor)
        fading = peak * _MASK
        masked = np.where(signal < _MASK * fading, fading * _MASKED, signal)
        peak = np.maximum(signal, fading)
        gain = np.clip(np.maximum(masked, floor) / power, 1.0 / _MOST_GAIN, _MOST_GAIN)
        clean[index] = band * (_SMEAR @ gain)
    return clean


def _mean(raw: Floats) -> Floats:
    """Return what to subtract, with a fixed share of speech in it however much silence surrounds the words."""
    quiet, loud = np.percentile(raw[:, 0], [5, 95])
    is_speech = raw[:, 0] > loud - 0.6 * (loud - quiet)
    if not is_speech.any() or is_speech.all():
        return np.asarray(raw.mean(axis=0))
    mean: Floats = _SPEECH_SHARE * raw[is_speech].mean(axis=0) + (1.0 - _SPEECH_SHARE) * raw[~is_speech].mean(axis=0)
    return mean
