"""Makes a tiny, real Whisper model for CTranslate2 that says one sentence, whatever it hears.

Every layer is there and runs, but what a layer adds is zero, so the decoder's state is the embedding of the
last token and nothing else. The output projection is not tied to the embedding: its row for a token is the
embedding of the token that comes before it. So the model is a chain, each token followed by the next.
"""

import itertools
import json
from pathlib import Path

import numpy as np
from ctranslate2.specs import whisper_spec
from faster_whisper.tokenizer import _LANGUAGE_CODES
from tokenizers import AddedToken, Tokenizer, decoders, models, pre_tokenizers

SENTENCE = "Turn on the kitchen light."
_WIDTH, _MELS = 64, 80
_BEFORE_LANGUAGES = ["<|endoftext|>", "<|startoftranscript|>"]
_AFTER_LANGUAGES = ["<|translate|>", "<|transcribe|>", "<|startoflm|>", "<|startofprev|>", "<|nospeech|>"]


def write_whisper(
    folder: Path,
    *,
    sentence: str = SENTENCE,
    is_looping: bool = False,
    certainty: float = 24.0,
    is_multilingual: bool = True,
    seed: int = 0,
) -> Path:
    """Write a model folder and return it.

    `certainty` is the logit of the right token, others have about 0: at 1 every token is as likely as any.
    With `is_looping` the sentence begins anew for as long as it is let. A sentence cannot use a word twice.
    """
    words = [" " + word for word in sentence.split()]
    tokenizer = _tokenizer(words, is_multilingual=is_multilingual)
    ids = tokenizer.get_vocab()
    spoken = [ids[_symbols(word)] for word in words]
    end = ids["<|endoftext|>"]
    chain = dict(itertools.pairwise([ids["<|notimestamps|>"], *spoken]))
    chain[spoken[-1]] = spoken[0] if is_looping else end
    if is_multilingual:
        chain[ids["<|startoftranscript|>"]] = ids["<|en|>"]

    spec = whisper_spec.WhisperSpec(1, 2, 1, 2)
    _fill(spec, np.random.default_rng(seed), len(ids))
    codes = spec.decoder.embeddings.weight
    for before, after in chain.items():
        spec.decoder.projection.weight[after] += codes[before] / np.sqrt(_WIDTH) * certainty / np.sqrt(_WIDTH)
    spec.register_vocabulary([token for token, _ in sorted(ids.items(), key=lambda item: item[1])])
    spec.config.suppress_ids = []
    spec.config.suppress_ids_begin = [end]
    spec.config.lang_ids = [ids[f"<|{code}|>"] for code in _languages(is_multilingual=is_multilingual)]
    spec.config.alignment_heads = [[0, 0]]
    spec.validate()
    folder.mkdir(parents=True, exist_ok=True)
    spec.save(str(folder))
    tokenizer.save(str(folder / "tokenizer.json"))
    features = {"feature_size": _MELS, "hop_length": 160, "n_fft": 400, "chunk_length": 30, "sampling_rate": 16_000}
    (folder / "preprocessor_config.json").write_text(json.dumps(features), encoding="utf-8")
    return folder


def _languages(*, is_multilingual: bool) -> tuple[str, ...]:
    return tuple(_LANGUAGE_CODES) if is_multilingual else ("en",)


def _symbols(text: str) -> str:
    return pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False).pre_tokenize_str(text)[0][0]


def _tokenizer(words: list[str], *, is_multilingual: bool) -> Tokenizer:
    """Byte-level BPE: any text encodes, each word of the sentence is one token."""
    vocabulary = {symbol: index for index, symbol in enumerate(sorted(pre_tokenizers.ByteLevel.alphabet()))}
    merges: dict[tuple[str, str], None] = {}
    for word in map(_symbols, words):
        for length in range(1, len(word)):
            merges[word[:length], word[length]] = None
            vocabulary.setdefault(word[: length + 1], len(vocabulary))
    if is_multilingual:
        vocabulary[""] = len(vocabulary)  # how CTranslate2 tells such a model from an English one
    tokenizer = Tokenizer(models.BPE(vocab=vocabulary, merges=list(merges)))
    tokenizer.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    tokenizer.decoder = decoders.ByteLevel()
    languages = [f"<|{code}|>" for code in _languages(is_multilingual=is_multilingual)]
    times = [f"<|{step / 50:.2f}|>" for step in range(1_501)]
    special = [*_BEFORE_LANGUAGES, *languages, *_AFTER_LANGUAGES, "<|notimestamps|>", *times]
    tokenizer.add_special_tokens([AddedToken(token, special=True) for token in special])
    return tokenizer


def _fill(spec: whisper_spec.WhisperSpec, rng: np.random.Generator, tokens: int) -> None:
    def noise(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    def norm(part: object) -> None:
        part.gamma, part.beta = np.ones(_WIDTH, np.float32), np.zeros(_WIDTH, np.float32)

    def linear(part: object, out: int, into: int, scale: float = 0.02) -> None:
        part.weight, part.bias = noise(out, into) * np.float32(scale), np.zeros(out, np.float32)

    def attention(part: object, *, is_self: bool) -> None:
        norm(part.layer_norm)
        linear(part.linear[0], _WIDTH * (3 if is_self else 1), _WIDTH)
        if not is_self:
            linear(part.linear[1], 2 * _WIDTH, _WIDTH)
        linear(part.linear[-1], _WIDTH, _WIDTH, scale=0)

    def layer(part: object) -> None:
        attention(part.self_attention, is_self=True)
        if hasattr(part, "attention"):
            attention(part.attention, is_self=False)
        norm(part.ffn.layer_norm)
        linear(part.ffn.linear_0, 4 * _WIDTH, _WIDTH)
        linear(part.ffn.linear_1, _WIDTH, 4 * _WIDTH, scale=0)

    encoder, decoder = spec.encoder, spec.decoder
    for convolution, into in ((encoder.conv1, _MELS), (encoder.conv2, _WIDTH)):
        convolution.weight, convolution.bias = noise(_WIDTH, into, 3), np.zeros(_WIDTH, np.float32)
    encoder.position_encodings.encodings = noise(1_500, _WIDTH)
    decoder.position_encodings.encodings = np.zeros((448, _WIDTH), np.float32)
    codes = noise(tokens, _WIDTH)
    codes -= codes.mean(axis=1, keepdims=True)
    decoder.embeddings.weight = codes * np.float32(np.sqrt(_WIDTH)) / np.linalg.norm(codes, axis=1, keepdims=True)
    decoder.projection.weight = np.zeros((tokens, _WIDTH), np.float32)
    for part in (encoder, decoder):
        norm(part.layer_norm)
        for one in part.layer:
            layer(one)
