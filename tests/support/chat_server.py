"""A small, real HTTP server that speaks OpenAI's chat completions, well or badly."""

import contextlib
import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Behaviour = Callable[["ChatHandler", dict[str, Any]], None]


class ChatHandler(BaseHTTPRequestHandler):
    """One request; `say` and `end` write the events of an answer."""

    protocol_version = "HTTP/1.1"
    server: "ChatServer"

    def do_GET(self) -> None:
        body = json.dumps({"data": [{"id": "first-model"}, {"id": "second-model"}]}).encode()
        self.answer(200, body)

    def do_POST(self) -> None:
        request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append((self.path, dict(self.headers), request))
        with contextlib.suppress(ConnectionError):
            self.server.behaviour(self, request)

    def answer(self, status: int, body: bytes = b"{}") -> None:
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def begin(self) -> None:
        self.close_connection = True
        self.send_response(200)
        self.send_header("Content-Type", "text/event-stream")
        self.send_header("Connection", "close")
        self.end_headers()

    def send(self, line: str) -> None:
        self.wfile.write(f"{line}\n\n".encode())
        self.wfile.flush()

    def say(self, text: str | None, **delta: Any) -> None:
        self.send("data: " + json.dumps({"choices": [{"index": 0, "delta": {"content": text, **delta}}]}))

    def end(self) -> None:
        self.send("data: " + json.dumps({"choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}))
        self.send("data: [DONE]")

    def log_message(self, *args: Any) -> None:
        """Say nothing."""


class ChatServer(ThreadingHTTPServer):
    """Answers every chat with `behaviour` and keeps what it was asked."""

    daemon_threads = True

    def __init__(self, behaviour: Behaviour) -> None:
        super().__init__(("127.0.0.1", 0), ChatHandler)
        self.behaviour = behaviour
        self.requests: list[tuple[str, dict[str, str], dict[str, Any]]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_port}/v1"


@contextlib.contextmanager
def chat_server(behaviour: Behaviour) -> Iterator[ChatServer]:
    """Serve until the block is left."""
    with ChatServer(behaviour) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02})
        thread.start()
        try:
            yield server
        finally:
            server.shutdown()
            thread.join()


def repeat(handler: ChatHandler, request: dict[str, Any]) -> None:
    """Say the user's last message, word by word, at most `max_tokens` of them."""
    words = request["messages"][-1]["content"].split()
    if sum(len(message["content"].split()) for message in request["messages"]) > 2_000:
        handler.answer(400, b'{"error": {"code": "context_length_exceeded"}}')
        return
    handler.begin()
    handler.say(None, role="assistant")
    for index, word in enumerate(words[: request["max_tokens"]]):
        handler.say(f" {word}" if index else word)
    handler.end()


def stall(handler: ChatHandler, request: dict[str, Any]) -> None:
    """Say one word and then nothing for a minute."""
    handler.begin()
    handler.say("Well")
    time.sleep(60)
