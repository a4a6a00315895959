"""The llm worker on real sockets: streams, remembers, stays quiet about thoughts, and is never silent."""

import asyncio
import logging
from contextlib import asynccontextmanager

import pytest
from wyoming.asr import Transcript
from wyoming.error import Error
from wyoming.event import Event
from wyoming.handle import Handled, HandledChunk, HandledStart, NotHandled
from wyoming.info import Describe

from tests.support.chat_server import chat_server, repeat, stall
from tests.support.raw_wire import event as raw_event, exchange
from wyoming_servers.engines.base import EngineOptions, LlmRequest
from wyoming_servers.engines.llm.openai import OpenAiLlm
from wyoming_servers.engines.scripted import ScriptedLlm
from wyoming_servers.engines.table import Task, find_row
from wyoming_servers.speech.thinking import ThinkingFilter
from wyoming_servers.wire.client import Client, describe
from wyoming_servers.wire.server import Server
from wyoming_servers.workers.llm import LlmService
from wyoming_servers.workers.memory import Memory


class Listening(ScriptedLlm):
    """Keeps the chats it was given."""

    def __init__(self) -> None:
        super().__init__()
        self.chats: list[LlmRequest] = []

    def reply(self, request: LlmRequest):
        self.chats.append(request)
        return super().reply(request)


@asynccontextmanager
async def worker(engine, **options):
    service = LlmService(engine, find_row(Task.LLM, "scripted"), "scripted", EngineOptions(**options))
    await asyncio.to_thread(service.prime)
    server = Server(service.handler)
    await server.start("tcp://127.0.0.1:0")
    try:
        yield server
    finally:
        await server.stop()


async def ask(uri: str, text: object = "how warm is it", **data: object) -> list[Event]:
    """Return every event up to the one that ends the answer."""
    async with Client(uri) as client:
        await client.send(Event(type="transcript", data={"text": text, **data}))
        return await answer(client)


async def answer(client: Client) -> list[Event]:
    events = []
    async with asyncio.timeout(20):
        while event := await client.receive():
            events.append(event)
            if event.type in {"handled-stop", "not-handled", "error"}:
                break
    return events


def types(events: list[Event]) -> list[str]:
    return [event.type for event in events]


async def test_answer_streams_and_ends_with_the_whole_text(monkeypatch):
    monkeypatch.setenv("HEARTH_SCRIPT_LLM", "It is quite warm.")
    context = {"conversation_id": "a", "device_id": "b"}
    async with worker(ScriptedLlm()) as server:
        events = await ask(server.uri, language="en", context=context)
    assert types(events) == ["handled-start", *["handled-chunk"] * 4, "handled", "handled-stop"]
    assert "".join(HandledChunk.from_event(event).text for event in events[1:5]) == "It is quite warm."
    assert Handled.from_event(events[5]) == Handled(text="It is quite warm.", context=context)
    assert HandledStart.from_event(events[0]).context == context


async def test_describe_says_what_home_assistant_needs():
    async with worker(ScriptedLlm(), language="de") as server:
        program = (await describe(server.uri)).handle[0]
    assert program.installed
    assert program.supports_handled_streaming
    assert not program.supports_home_control
    assert {"de", "en", "nl"} <= set(program.models[0].languages)


async def test_conversation_is_remembered_and_others_are_not():
    engine = Listening()
    async with worker(engine) as server:
        await ask(server.uri, "my name is Ada", context={"conversation_id": "one"})
        await ask(server.uri, "what is my name", context={"conversation_id": "one"})
        await ask(server.uri, "what is my name", context={"conversation_id": "two"})
        await ask(server.uri, "what is my name")
    said = [[message.content for message in chat.messages[1:]] for chat in engine.chats[1:]]
    assert said[1] == ["my name is Ada", "my name is Ada", "what is my name"]
    assert said[2] == said[3] == ["what is my name"]


async def test_instructions_stay_the_same_and_name_the_language():
    engine = Listening()
    async with worker(engine) as server:
        for language in ("en", "en", "nl"):
            await ask(server.uri, language=language)
    first, second, third, fourth = (chat.messages[0].content for chat in engine.chats)
    assert first == second == third
    assert "tag nl" in fourth


async def test_thoughts_are_not_said(monkeypatch):
    monkeypatch.setenv("HEARTH_SCRIPT_LLM", "<think> They ask for the weather. </think> It is warm.")
    async with worker(ScriptedLlm()) as server:
        events = await ask(server.uri)
    assert Handled.from_event(events[-2]).text == "It is warm."
    assert not any("weather" in str(event.data) for event in events)


@pytest.mark.parametrize("script", ["<think> and never an answer", "<think> hm </think>"])
@pytest.mark.parametrize(("language", "said"), [("en", "Sorry"), ("nl", "Sorry, ik snap het niet"), ("tlh", "Sorry")])
async def test_no_answer_is_said_politely(monkeypatch, script, language, said):
    monkeypatch.setenv("HEARTH_SCRIPT_LLM", script)
    async with worker(ScriptedLlm()) as server:
        events = await ask(server.uri, language=language, context={"conversation_id": "c"})
    assert types(events) == ["not-handled"]
    assert NotHandled.from_event(events[0]).text.startswith(said)
    assert NotHandled.from_event(events[0]).context == {"conversation_id": "c"}


@pytest.mark.parametrize("text", ["", "  \n", "...", "\u200b", "\x00"])
async def test_nothing_said_is_not_given_to_the_model(text):
    engine = Listening()
    async with worker(engine) as server:
        events = await ask(server.uri, text)
    assert types(events) == ["not-handled"]
    assert len(engine.chats) == 1  # the one that primes


async def test_failing_engine_is_an_error_and_the_next_question_is_answered(monkeypatch):
    monkeypatch.setenv("HEARTH_SCRIPT_LLM", "ready|!fail-early|one two !fail three|fine")
    async with worker(ScriptedLlm()) as server:
        early = await ask(server.uri)
        late = await ask(server.uri)
        fine = await ask(server.uri)
    assert types(early) == ["error"]
    assert types(late) == ["handled-start", "handled-chunk", "handled-chunk", "error"]
    for events in (early, late):
        assert Error.from_event(events[-1]).code == "engine-failed"
    assert Handled.from_event(fine[-2]).text == "fine"


async def test_too_long_a_chat_is_refused():
    async with worker(ScriptedLlm()) as server:
        events = await ask(server.uri, "a " * 3_000)
    assert Error.from_event(events[-1]).code == "too-long"


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "bad-text"),
        ({"text": None}, "bad-text"),
        ({"text": 5}, "bad-text"),
        ({"text": "\ud800"}, "bad-text"),
        ({"text": "x" * 8_001}, "bad-text"),
        ({"text": "hi", "language": 5}, "bad-language"),
        ({"text": "hi", "language": "../../etc"}, "bad-language"),
        ({"text": "hi", "language": "x" * 100}, "bad-language"),
        ({"text": "hi", "context": "abc"}, "bad-event"),
        ({"text": "hi", "context": {"conversation_id": ["a"]}}, "bad-event"),
        ({"text": "hi", "context": {"conversation_id": "a" * 300}}, "bad-event"),
    ],
)
async def test_bad_questions_are_refused_by_name(data, code):
    async with worker(ScriptedLlm()) as server:
        events = await exchange(server.uri, raw_event("transcript", data))
        assert Error.from_event(events[0]).code == code
        assert types(await ask(server.uri))[-1] == "handled-stop"


async def test_questions_on_one_connection_are_answered_in_order():
    async with worker(ScriptedLlm()) as server, Client(server.uri) as client:
        for text in ("one", "two", "three"):
            await client.send(Transcript(text=text))
        answers = [await answer(client) for _ in range(3)]
    assert [Handled.from_event(events[-2]).text for events in answers] == ["one", "two", "three"]


async def test_describe_is_answered_while_the_model_is_busy(monkeypatch):
    monkeypatch.setenv("HEARTH_SCRIPT_LLM_DELAY_MS", "200")
    async with worker(ScriptedLlm()) as server:
        busy = [asyncio.create_task(ask(server.uri, "one two three four")) for _ in range(4)]
        await asyncio.sleep(0.3)
        async with asyncio.timeout(1):
            assert (await describe(server.uri)).handle
        assert all(types(events)[-1] == "handled-stop" for events in await asyncio.gather(*busy))


async def test_too_many_questions_are_refused_as_busy_and_the_rest_answered(monkeypatch):
    monkeypatch.setenv("HEARTH_SCRIPT_LLM_DELAY_MS", "50")
    async with worker(ScriptedLlm()) as server:
        ends = [events[-1] for events in await asyncio.gather(*(ask(server.uri, "one two") for _ in range(30)))]
    refused = [Error.from_event(event).code for event in ends if event.type == "error"]
    assert refused == ["busy"] * 20
    assert sum(event.type == "handled-stop" for event in ends) == 10


async def test_leaving_stops_the_model(monkeypatch):
    """A server that stalls would hold the only free slots for a minute if leaving did not free them."""
    with chat_server(repeat) as chats:
        engine = OpenAiLlm(EngineOptions(url=chats.url, model_name="m"))
        async with worker(engine, url=chats.url) as server:
            chats.behaviour = stall
            for _ in range(engine.concurrency * 2):
                async with Client(server.uri) as client:
                    await client.send(Transcript(text="hello"))
                    assert (await client.expect()).type == "handled-start"
            chats.behaviour = repeat
            async with asyncio.timeout(10):
                assert types(await ask(server.uri))[-1] == "handled-stop"


async def test_words_are_logged_only_for_debugging(caplog, monkeypatch):
    caplog.set_level(logging.INFO)
    monkeypatch.setenv("HEARTH_SCRIPT_LLM", "ready|secretanswer|!fail-early")
    async with worker(ScriptedLlm()) as server:
        await ask(server.uri, "secretquestion")
        await ask(server.uri, "secretquestion")
    assert "secret" not in caplog.text


async def test_unknown_events_are_passed_over():
    async with worker(ScriptedLlm()) as server, Client(server.uri) as client:
        await client.send(Event(type="no-such-event", data={"a": 1}, payload=b"123"))
        await client.send(Describe())
        assert (await client.expect()).type == "info"


def test_memory_forgets_by_age_number_and_size():
    now = 0.0
    memory = Memory(lambda: now)
    for turn in range(10):
        memory.remember("turns", f"question {turn}", "answer")
    assert memory.recall("turns")[0].content == "question 4"
    memory.remember("size", "q" * 3_000, "a" * 500)
    memory.remember("size", "q" * 1_000, "a" * 500)
    assert len(memory.recall("size")) == 2
    memory.remember("size", "q" * 3_000, "a" * 5_000)
    assert memory.recall("size") == []
    for number in range(100):
        memory.remember(f"many {number}", "question", "answer")
    assert not memory.recall("turns")
    assert memory.recall("many 99")
    now = 301.0
    assert not memory.recall("many 99")


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("Hello.", "Hello."),
        ("<think>a</think>b", "b"),
        ("a<think>b</think>c<thinking>d</thinking>e", "ace"),
        ("a < b and <b>bold</b>", "a < b and <b>bold</b>"),
        ("<think>never closed", ""),
        ("ends with <thi", "ends with <thi"),
        ("<think>a</think", ""),
        ("", ""),
    ],
)
@pytest.mark.parametrize("size", [1, 3, 100])
def test_thoughts_are_taken_out_however_they_are_cut(text, said, size):
    thinking = ThinkingFilter()
    pieces = [thinking.add(text[start : start + size]) for start in range(0, len(text), size)]
    assert "".join(pieces) + thinking.finish() == said
