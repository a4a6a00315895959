"""Makes a tiny, real GGUF language model that gives one answer, whatever it is asked.

A Llama of one layer whose blocks add nothing, so the state is the embedding of the last token; the output row
of a token is the embedding of the token before it. The answer follows the newline that ends the prompt.
"""

import itertools
import string
from pathlib import Path

import gguf
import numpy as np

ANSWER = "It is a warm day at the café."
CONTEXT_TOKENS = 512
_WIDTH, _HIDDEN = 64, 64
_CONTROL = ["<unk>", "<s>", "</s>", "<|im_start|>", "<|im_end|>"]
_CERTAINTY = 20.0
TEMPLATE = (
    "{% for message in messages %}<|im_start|>{{ message.role }}\n{{ message.content }}<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)
THINKING_TEMPLATE = TEMPLATE.replace("assistant\n{% endif", "assistant\n<think>\n{% endif")
NO_SYSTEM_TEMPLATE = "{% if messages[0].role == 'system' %}{{ raise_exception('no system') }}{% endif %}" + TEMPLATE


def write_gguf(
    path: Path, *, answer: str = ANSWER, is_looping: bool = False, template: str | None = TEMPLATE, seed: int = 0
) -> Path:
    """Write a model file and return it. With `is_looping` the answer begins anew for as long as it is let."""
    spoken = [piece for word in answer.split() for piece in _pieces(word)]
    letters = [chr(code) for code in range(0x21, 0x7F)]
    tokens = [
        *_CONTROL,
        *(f"<0x{byte:02X}>" for byte in range(256)),
        *dict.fromkeys([*(piece for piece in spoken if not piece.startswith("<0x")), "\u2581", *letters]),
    ]
    ids = {token: index for index, token in enumerate(tokens)}
    chain = dict(itertools.pairwise([ids["<0x0A>"], *(ids[piece] for piece in spoken)]))
    if len(chain) != len(spoken):
        raise ValueError("an answer cannot use a word twice")
    chain[ids[spoken[-1]]] = ids[spoken[0]] if is_looping else ids["<|im_end|>"]

    path.parent.mkdir(parents=True, exist_ok=True)
    writer = gguf.GGUFWriter(path, "llama")
    _add_parameters(writer, len(tokens))
    _add_tokenizer(writer, tokens, template)
    _add_weights(writer, len(tokens), chain, np.random.default_rng(seed))
    writer.write_header_to_file()
    writer.write_kv_data_to_file()
    writer.write_tensors_to_file()
    writer.close()
    return path


def _pieces(word: str) -> list[str]:
    """Return a word as one token, and what is not ASCII at its end as bytes, as real vocabularies do."""
    plain = "".join(itertools.takewhile(lambda letter: letter in string.printable, word))
    return ["\u2581" + plain, *(f"<0x{byte:02X}>" for byte in word[len(plain) :].encode())]


def _add_parameters(writer: gguf.GGUFWriter, tokens: int) -> None:
    writer.add_context_length(CONTEXT_TOKENS)
    writer.add_embedding_length(_WIDTH)
    writer.add_block_count(1)
    writer.add_feed_forward_length(_HIDDEN)
    writer.add_head_count(2)
    writer.add_head_count_kv(2)
    writer.add_layer_norm_rms_eps(1e-5)
    writer.add_rope_dimension_count(_WIDTH // 2)
    writer.add_vocab_size(tokens)
    writer.add_file_type(gguf.LlamaFileType.ALL_F32)


def _add_tokenizer(writer: gguf.GGUFWriter, tokens: list[str], template: str | None) -> None:
    plain = len(tokens) - len(_CONTROL) - 256
    types = [gguf.TokenType.UNKNOWN, *[gguf.TokenType.CONTROL] * (len(_CONTROL) - 1)]
    writer.add_tokenizer_model("llama")
    writer.add_tokenizer_pre("default")
    writer.add_token_list(tokens)
    writer.add_token_scores([-float(index) for index in range(len(tokens))])
    writer.add_token_types([*types, *[gguf.TokenType.BYTE] * 256, *[gguf.TokenType.NORMAL] * plain])
    writer.add_unk_token_id(0)
    writer.add_bos_token_id(1)
    writer.add_eos_token_id(2)
    writer.add_eot_token_id(4)
    writer.add_add_bos_token(True)
    if template is not None:
        writer.add_chat_template(template)


def _add_weights(writer: gguf.GGUFWriter, tokens: int, chain: dict[int, int], rng: np.random.Generator) -> None:
    def noise(*shape: int) -> np.ndarray:
        return rng.standard_normal(shape, dtype=np.float32)

    codes = noise(tokens, _WIDTH)
    codes *= np.float32(np.sqrt(_WIDTH)) / np.linalg.norm(codes, axis=1, keepdims=True)
    output = np.zeros((tokens, _WIDTH), np.float32)
    for before, after in chain.items():
        output[after] += codes[before] * np.float32(_CERTAINTY / _WIDTH)
    writer.add_tensor("token_embd.weight", codes)
    writer.add_tensor("output_norm.weight", np.ones(_WIDTH, np.float32))
    writer.add_tensor("output.weight", output)
    for name in ("attn_norm", "ffn_norm"):
        writer.add_tensor(f"blk.0.{name}.weight", np.ones(_WIDTH, np.float32))
    for name in ("attn_q", "attn_k", "attn_v"):
        writer.add_tensor(f"blk.0.{name}.weight", noise(_WIDTH, _WIDTH) * np.float32(0.02))
    writer.add_tensor("blk.0.attn_output.weight", np.zeros((_WIDTH, _WIDTH), np.float32))
    for name in ("ffn_gate", "ffn_up"):
        writer.add_tensor(f"blk.0.{name}.weight", noise(_HIDDEN, _WIDTH) * np.float32(0.02))
    writer.add_tensor("blk.0.ffn_down.weight", np.zeros((_WIDTH, _HIDDEN), np.float32))
