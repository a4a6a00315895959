"""GGUF models on llama.cpp, in process.

One context serves one reply after another. What it holds of the last chat stays in it, and only the part of
the next prompt that differs is read: a system prompt that does not change costs nothing from the second
request on. Reading and writing both pause often, so that a reply nobody waits for can be dropped.
"""

import codecs
import ctypes
import os
import threading
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

# Read when the library loads: threads that wait must not spin.
os.environ.setdefault("OMP_WAIT_POLICY", "PASSIVE")

import llama_cpp
from llama_cpp.llama_chat_format import Jinja2ChatFormatter

from wyoming_servers.engines.base import EngineOptions, LlmRequest, Message
from wyoming_servers.errors import EngineError, ModelError, RequestError

_CONTEXT_TOKENS = 4_096
_READ_TOKENS = 64
"""Prompt tokens read between two chances to stop: 4 s on a Raspberry Pi 5 with a 1 B model."""
_LEAST_ROOM_TOKENS = 16
"""A reply needs at least this much of the context."""
_SHARD = "-00001-of-"


class LlamaLlm:
    """A chat model with its own template."""

    concurrency = 1

    def __init__(self, options: EngineOptions) -> None:
        """Load the file `options.model`. Raises ModelError if it is not a chat model llama.cpp can load."""
        path = _find_file(options.model)
        try:
            self._llama: Any = llama_cpp.Llama(
                str(path),
                n_ctx=_CONTEXT_TOKENS,
                n_batch=_READ_TOKENS,
                n_threads=options.threads,
                n_threads_batch=options.threads,
                n_gpu_layers=-1,
                verbose=False,
            )
        except Exception as err:  # a damaged file shows as ValueError, AssertionError and others
            raise ModelError(f"llama.cpp cannot load {path}: the file is damaged or of an unknown kind.") from err
        template = self._llama.metadata.get("tokenizer.chat_template")
        if not template:
            self.close()
            raise ModelError(f"{path} has no chat template, so it is not a model to talk with.")
        self._vocab = llama_cpp.llama_model_get_vocab(self._llama.model)
        self._room = min(self._llama.n_ctx(), llama_cpp.llama_model_n_ctx_train(self._llama.model))
        self._controls = self._control_texts()
        self._render: Any = Jinja2ChatFormatter(
            template=template,
            eos_token=self._text(self._llama.token_eos()),
            bos_token=self._text(self._llama.token_bos()),
        )
        # A reply that is given up may end a moment after the next one was asked for.
        self._is_free = threading.Lock()

    def reply(self, request: LlmRequest) -> Iterator[str]:
        """Yield the answer; an empty piece is a moment, while the prompt is read, at which it can be closed."""
        prompt = self._prompt(request.messages)
        tokens = self._llama.tokenize(prompt.encode(), add_bos=False, special=True)
        room = self._room - len(tokens)
        if room < _LEAST_ROOM_TOKENS:
            raise RequestError("too-long", f"The conversation is over the model's limit of {self._room} tokens.")
        return self._generate(tokens, min(request.max_tokens, room), request.temperature, _opening(prompt))

    def close(self) -> None:
        """Release the model's memory."""
        self._llama.close()

    def _generate(self, prompt: list[int], most: int, temperature: float, opening: str) -> Iterator[str]:
        decoder = codecs.getincrementaldecoder("utf-8")(errors="replace")
        with self._is_free:
            yield from self._read(prompt)
            if opening:
                yield opening
            try:
                for count, token in enumerate(self._llama.generate(prompt, temp=temperature), 1):
                    if llama_cpp.llama_vocab_is_eog(self._vocab, token):
                        break
                    if piece := decoder.decode(self._piece(token)):
                        yield piece
                    if count >= most:
                        break
            except RuntimeError as err:
                self._llama.reset()
                raise EngineError("The language model failed while it wrote its answer.") from err

    def _read(self, prompt: list[int]) -> Iterator[str]:
        """Read all of the prompt but its end, so that `generate` finds it in the context."""
        known = self._llama.longest_token_prefix(self._llama.input_ids[: self._llama.n_tokens], prompt)
        for end in range(known + _READ_TOKENS, len(prompt), _READ_TOKENS):
            try:
                next(self._llama.generate(prompt[:end], temp=0.0))
            except RuntimeError as err:
                self._llama.reset()
                raise EngineError("The language model failed while it read the conversation.") from err
            yield ""

    def _prompt(self, messages: Sequence[Message]) -> str:
        chat = [{"role": message.role, "content": self._plain(message.content)} for message in messages]
        try:
            # Models that can think aloud are asked not to: somebody is waiting for the answer.
            return str(self._render(messages=chat, enable_thinking=False).prompt)
        except Exception as first:  # the model's own template, which may raise anything
            if len(chat) < 2 or chat[0]["role"] != "system":
                raise EngineError("The model's chat template failed.") from first
        # Some templates have no place for a system prompt: it then opens what the user says.
        head, user, *rest = chat
        try:
            merged = {**user, "content": f"{head['content']}\n\n{user['content']}"}
            return str(self._render(messages=[merged, *rest], enable_thinking=False).prompt)
        except Exception as err:  # as above
            raise EngineError("The model's chat template failed.") from err

    def _plain(self, content: str) -> str:
        """Return a message without the texts that mean something to the template's tokenizer."""
        for text in self._controls:
            content = content.replace(text, " ")
        return content

    def _control_texts(self) -> tuple[str, ...]:
        texts = (
            self._text(token)
            for token in range(llama_cpp.llama_vocab_n_tokens(self._vocab))
            if llama_cpp.llama_vocab_is_control(self._vocab, token)
        )
        return tuple(text for text in texts if len(text) > 2)

    def _text(self, token: int) -> str:
        return llama_cpp.llama_vocab_get_text(self._vocab, token).decode("utf-8", "replace") if token >= 0 else ""

    def _piece(self, token: int) -> bytes:
        size = 64
        while True:
            buffer = ctypes.create_string_buffer(size)
            length = llama_cpp.llama_token_to_piece(self._vocab, token, buffer, size, 0, False)
            if length >= 0:
                return buffer.raw[:length]
            size = -length


def _opening(prompt: str) -> str:
    """Return the tag a template leaves open for the model, so that whoever reads the answer sees it open."""
    return "<think>" if prompt.rstrip().endswith("<think>") else ""


def _find_file(model: Path | None) -> Path:
    if model is None:
        raise ModelError("llama.cpp needs a model: set --model to a GGUF file.")
    path = model
    if model.is_dir():
        files = sorted(model.glob("*.gguf"))
        first = [file for file in files if _SHARD in file.name] or files
        if len(first) != 1:
            raise ModelError(f"{model} must hold one GGUF model, but it holds {len(first)}.")
        path = first[0]
    try:
        with path.open("rb") as file:
            magic = file.read(4)
    except OSError as err:
        raise ModelError(f"Cannot read {path}: {err.strerror}.") from err
    if magic != b"GGUF":
        raise ModelError(f"{path} is not a GGUF file.")
    return path
