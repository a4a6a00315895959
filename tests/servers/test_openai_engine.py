"""OpenAiLlm against a real HTTP server that behaves well and badly."""

import logging
import socket
import threading
import time

import pytest

from tests.support.chat_server import ChatHandler, chat_server, repeat, stall
from wyoming_servers.engines.base import EngineOptions, LlmRequest, Message
from wyoming_servers.engines.llm.openai import OpenAiLlm
from wyoming_servers.errors import EngineError, RequestError

REQUEST = LlmRequest(messages=[Message(role="user", content="one two three")])


def answer(behaviour, **options) -> str:
    with chat_server(behaviour) as server:
        return "".join(OpenAiLlm(EngineOptions(url=server.url, model_name="m", **options)).reply(REQUEST))


def test_chat_is_sent_with_model_and_key_and_the_key_is_not_logged(caplog):
    caplog.set_level(logging.DEBUG)
    with chat_server(repeat) as server:
        engine = OpenAiLlm(EngineOptions(url=f"{server.url}/", model_name="m", api_key="sk-secret"))
        assert "".join(engine.reply(REQUEST)) == "one two three"
    path, headers, body = server.requests[0]
    assert path == "/v1/chat/completions"
    assert headers["Authorization"] == "Bearer sk-secret"
    assert (body["model"], body["max_tokens"], body["temperature"], body["stream"]) == ("m", 256, 0.0, True)
    assert body["messages"] == [{"role": "user", "content": "one two three"}]
    assert "sk-secret" not in caplog.text + repr(EngineOptions(api_key="sk-secret"))


def test_without_a_model_name_the_first_is_asked_for_once():
    with chat_server(repeat) as server:
        engine = OpenAiLlm(EngineOptions(url=server.url))
        for _ in range(2):
            "".join(engine.reply(REQUEST))
    assert [request["model"] for _, _, request in server.requests] == ["first-model", "first-model"]


def test_comments_thoughts_and_usage_are_passed_over():
    def behaviour(handler: ChatHandler, request) -> None:
        handler.begin()
        handler.send(": keep-alive")
        handler.say(None, reasoning_content="I wonder")
        handler.say("Yes.")
        handler.send('data: {"choices": [], "usage": {"total_tokens": 3}}')
        handler.send("event: end")
        handler.end()

    assert answer(behaviour) == "Yes."


def test_chunked_answers_are_read():
    def behaviour(handler: ChatHandler, request) -> None:
        handler.send_response(200)
        handler.send_header("Transfer-Encoding", "chunked")
        handler.end_headers()
        for text in ('data: {"choices": [{"delta": {"con', 'tent": "Yes."}}]}\n\n', "data: [DONE]\n\n"):
            handler.wfile.write(f"{len(text):x}\r\n{text}\r\n".encode())
        handler.wfile.write(b"0\r\n\r\n")

    assert answer(behaviour) == "Yes."


@pytest.mark.parametrize(
    ("status", "said"),
    [
        (401, "refuses the key"),
        (403, "refuses the key"),
        (404, "no such model"),
        (429, "too much to do"),
        (500, "HTTP status 500"),
        (302, "HTTP status 302"),
    ],
)
def test_refusals_are_said_plainly_and_without_the_servers_words(status, said):
    with pytest.raises(EngineError, match=said) as failure:
        answer(lambda handler, request: handler.answer(status, b"one two three"))
    assert "one two" not in str(failure.value)


def test_too_long_a_chat_is_the_clients_affair():
    with pytest.raises(RequestError):
        answer(lambda handler, request: handler.answer(400, b'{"error": {"message": "maximum context length"}}'))


@pytest.mark.parametrize(
    "line",
    [
        "data: {",
        "data: []",
        'data: {"error": {"message": "x"}}',
        'data: {"choices": 5}',
        'data: {"choices": [5]}',
        "data: " + "[" * 30_000,
        "data: " + "x" * 200_000,
    ],
)
def test_nonsense_is_an_engine_error(line):
    def behaviour(handler: ChatHandler, request) -> None:
        handler.begin()
        handler.send(line)

    with pytest.raises(EngineError):
        answer(behaviour)


def test_answer_that_breaks_off_is_an_error_after_its_words():
    def behaviour(handler: ChatHandler, request) -> None:
        handler.begin()
        handler.say("Yes, ")

    with chat_server(behaviour) as server:
        pieces = OpenAiLlm(EngineOptions(url=server.url, model_name="m")).reply(REQUEST)
        assert next(piece for piece in pieces if piece) == "Yes, "
        with pytest.raises(EngineError, match="in the middle"):
            list(pieces)


def test_no_http_at_all_is_an_engine_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:

        def greet() -> None:
            client, _ = listener.accept()
            with client:
                client.recv(65_536)
                client.sendall(b"220 mail ready\r\n")

        threading.Thread(target=greet, daemon=True).start()
        engine = OpenAiLlm(EngineOptions(url=f"http://127.0.0.1:{listener.getsockname()[1]}", model_name="m"))
        with pytest.raises(EngineError, match="broke"):
            list(engine.reply(REQUEST))


def test_nobody_there_is_an_engine_error():
    with socket.create_server(("127.0.0.1", 0)) as listener:
        port = listener.getsockname()[1]
    with pytest.raises(EngineError, match="Nothing answers"):
        list(OpenAiLlm(EngineOptions(url=f"http://127.0.0.1:{port}/v1", model_name="m")).reply(REQUEST))


def test_stalled_answer_can_be_left_at_once():
    with chat_server(stall) as server:
        pieces = OpenAiLlm(EngineOptions(url=server.url, model_name="m")).reply(REQUEST)
        assert next(piece for piece in pieces if piece) == "Well"
        assert next(pieces) == ""
        start = time.monotonic()
        pieces.close()
        assert time.monotonic() - start < 1
        deadline = time.monotonic() + 5
        while any(thread.name == "openai-reply" for thread in threading.enumerate()):
            assert time.monotonic() < deadline, "the reading thread must end when the reply is closed"
            time.sleep(0.02)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"url": "127.0.0.1:8080"},
        {"url": "ftp://host/v1"},
        {"url": "http://"},
        {"url": "http://host:notaport/v1"},
        {"url": "http://user:word@host/v1"},
        {"url": "http://host/v1?key=1"},
        {"url": "http://host/v1", "api_key": "a\r\nHost: b"},
    ],
)
def test_unusable_settings_are_refused(options):
    with pytest.raises(EngineError):
        OpenAiLlm(EngineOptions(**options))
