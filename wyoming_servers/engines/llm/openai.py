"""Any server that speaks OpenAI's chat completions: llama-server, Ollama, vLLM, a service far away.

The answer is read in a thread of its own, so that closing a reply never waits for a server that has gone
quiet. Nothing the server says is passed on but the words of the answer: an error page may repeat the prompt.
"""

import contextlib
import http.client
import json
import queue
import socket
import threading
from collections.abc import Iterator
from typing import Any
from urllib.parse import urlsplit

from wyoming_servers.engines.base import EngineOptions, LlmRequest
from wyoming_servers.errors import EngineError, HearthError, RequestError

_CONNECT_SECONDS = 5.0
_SILENCE_SECONDS = 60.0
"""Longest wait for the next line: a long prompt on a slow machine takes this long to read."""
_PAUSE_SECONDS = 0.1
"""How often a waiting reply can be closed."""
_LINE_BYTES = 64 * 1024
_MOST_LINES = 20_000
_LIST_BYTES = 1024 * 1024
_REFUSALS = {
    401: "refuses the key (HEARTH_LLM_API_KEY)",
    403: "refuses the key (HEARTH_LLM_API_KEY)",
    404: "has no such model or address; check 'llm.url' and 'llm.model_name'",
    429: "has too much to do",
}


class OpenAiLlm:
    """A model on a server."""

    concurrency = 4

    def __init__(self, options: EngineOptions) -> None:
        """Check the address; the server itself may come later. Raises EngineError for an address that is none."""
        try:
            parts = urlsplit(options.url or "")
            port = parts.port
        except ValueError:
            raise EngineError("The address of the language model ('llm.url') is not one.") from None
        if parts.scheme not in {"http", "https"} or not parts.hostname:
            raise EngineError("Set 'llm.url' to the server's base address, such as http://127.0.0.1:8080/v1.")
        if parts.username or parts.password or parts.query or parts.fragment:
            raise EngineError("'llm.url' is a base address alone; the key belongs in HEARTH_LLM_API_KEY.")
        key = options.api_key or ""
        if not (key.isascii() and key.isprintable()):
            raise EngineError("HEARTH_LLM_API_KEY holds characters that no key has.")
        self._is_tls = parts.scheme == "https"
        self._host, self._port, self._path = parts.hostname, port, parts.path.rstrip("/")
        self._headers = {"Content-Type": "application/json"} | ({"Authorization": f"Bearer {key}"} if key else {})
        self._model = options.model_name

    def reply(self, request: LlmRequest) -> Iterator[str]:
        """Yield the answer; an empty piece is a moment, while the server thinks, at which it can be closed."""
        exchange = _Exchange(self._connection())
        threading.Thread(target=exchange.run, args=(self, request), name="openai-reply", daemon=True).start()
        try:
            while (piece := exchange.next()) is not None:
                yield piece
        finally:
            exchange.abort()

    def close(self) -> None:
        """Release nothing: every reply has a connection of its own."""

    def ask(self, connection: http.client.HTTPConnection, request: LlmRequest) -> Iterator[str]:
        """Send the chat on an open connection and yield the answer. Raises EngineError, RequestError or OSError."""
        body = {
            "model": self._model or self._first_model(),
            "messages": [{"role": message.role, "content": message.content} for message in request.messages],
            "max_tokens": request.max_tokens,
            "temperature": request.temperature,
            "stream": True,
        }
        connection.request("POST", f"{self._path}/chat/completions", json.dumps(body), self._headers)
        with connection.getresponse() as response:
            if response.status != 200:
                raise _refusal(response.status, response.read(_LINE_BYTES))
            yield from _deltas(response)

    def _connection(self, seconds: float = _CONNECT_SECONDS) -> http.client.HTTPConnection:
        kind = http.client.HTTPSConnection if self._is_tls else http.client.HTTPConnection
        return kind(self._host, self._port, timeout=seconds)

    def _first_model(self) -> str:
        """Return the first model the server lists; it is asked once."""
        with contextlib.closing(self._connection()) as connection:
            connection.request("GET", f"{self._path}/models", headers=self._headers)
            response = connection.getresponse()
            if response.status != 200:
                raise _refusal(response.status, b"")
            try:
                self._model = str(json.loads(response.read(_LIST_BYTES))["data"][0]["id"])
            except (ValueError, LookupError, TypeError):
                raise EngineError("The language model server lists no models; set 'llm.model_name'.") from None
        return self._model


class _Exchange:
    """One request on its way, read by a thread and taken by another."""

    def __init__(self, connection: http.client.HTTPConnection) -> None:
        self._connection = connection
        self._socket: socket.socket | None = None
        self._pieces: queue.SimpleQueue[str | HearthError | None] = queue.SimpleQueue()
        self._is_aborted = False

    def run(self, engine: OpenAiLlm, request: LlmRequest) -> None:
        """Read the whole answer; runs in a thread of its own."""
        end: HearthError | None = None
        try:
            self._connection.connect()
            self._socket = self._connection.sock  # http.client forgets it when the server means to close
            self._socket.settimeout(_SILENCE_SECONDS)
            for piece in engine.ask(self._connection, request):
                self._pieces.put(piece)
                if self._is_aborted:
                    return
        except HearthError as err:
            end = err
        except TimeoutError:
            end = EngineError("The language model server does not answer in time.")
        except ConnectionRefusedError:
            end = EngineError("Nothing answers at the address of the language model ('llm.url').")
        except (OSError, http.client.HTTPException, ValueError):
            end = EngineError("The connection to the language model server broke.")
        finally:
            self._connection.close()
            self._pieces.put(end)

    def next(self) -> str | None:
        """Return the next piece, an empty one if there is none yet, or None at the end. Raises HearthError."""
        try:
            piece = self._pieces.get(timeout=_PAUSE_SECONDS)
        except queue.Empty:
            return ""
        if isinstance(piece, HearthError):
            raise piece
        return piece

    def abort(self) -> None:
        """Make the reading thread end, also from a read that waits."""
        self._is_aborted = True
        if self._socket is not None:
            with contextlib.suppress(OSError):  # closed a moment ago
                self._socket.shutdown(socket.SHUT_RDWR)


def _deltas(response: http.client.HTTPResponse) -> Iterator[str]:
    """Yield the text in a stream of server-sent events."""
    is_whole = False
    for _ in range(_MOST_LINES):
        line = response.readline(_LINE_BYTES)
        if not line or line.strip() == b"data: [DONE]":
            if not is_whole and not line:
                raise EngineError("The language model server ended its answer in the middle.")
            return
        if not line.startswith(b"data:"):
            continue
        choice = _choice(line[5:])
        delta = choice.get("delta")
        text = delta.get("content") if isinstance(delta, dict) else None
        if isinstance(text, str) and text:
            yield text
        is_whole = is_whole or bool(choice.get("finish_reason"))
    raise EngineError("The language model server's answer has no end.")


def _choice(raw: bytes) -> dict[str, Any]:
    try:
        event = json.loads(raw)
    except (ValueError, RecursionError):
        raise EngineError("The language model server sent something that is no answer.") from None
    if not isinstance(event, dict) or event.get("error"):
        raise EngineError("The language model server failed at its answer.")
    choices = event.get("choices") or [{}]  # usage comes without any
    if not isinstance(choices, list) or not isinstance(choices[0], dict):
        raise EngineError("The language model server sent something that is no answer.")
    return choices[0]


def _refusal(status: int, body: bytes) -> HearthError:
    if status == 400 and b"context" in body.lower():
        return RequestError("too-long", "The conversation is over the limit of the language model.")
    reason = _REFUSALS.get(status, f"answers with HTTP status {status}")
    return EngineError(f"The language model server {reason}.")
