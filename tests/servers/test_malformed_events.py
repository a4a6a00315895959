"""Whatever a client sends, it is told what was wrong, and everybody else is served.

Every worker runs as a process of its own, with a scripted engine; so does a hub in front of all four.
"""

import asyncio

import pytest
from wyoming.error import Error
from wyoming.event import async_read_event

from tests.support.hub_process import HubProcess
from tests.support.raw_wire import address, event, exchange, first, line
from tests.support.worker_process import WorkerProcess

AUDIO = {"rate": 16_000, "width": 2, "channels": 1}
CHUNK = b"\x10\x20" * 160
LOUD = b"\x00\x40\x00\xc0" * 8_000
TASKS = ("vad", "stt", "tts", "llm")

# What is wrong with the event's frame, whatever the task: bytes, error code, whether the client then ends its side.
FRAMES = {
    "no JSON": (b"hello\n", "bad-json", False),
    "HTTP": (b"GET / HTTP/1.1\r\nHost: a\r\n\r\n", "bad-json", False),
    "TLS": (b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\n", "bad-json", False),
    "invalid UTF-8": (b'{"type": "\xff\xfe"}\n', "bad-json", False),
    "blank line": (b"\n", "bad-json", False),
    "NUL bytes": (b"\0" * 100 + b"\n", "bad-json", False),
    "list": (b"[]\n", "bad-json", False),
    "null": (b"null\n", "bad-json", False),
    "number": (b"5\n", "bad-json", False),
    "NaN": (b'{"type": "describe", "payload_length": NaN}\n', "bad-json", False),
    "infinity": (b'{"type": "ping", "data": {"text": 1e999}}\n', "bad-json", False),
    "5000 digits": (b'{"type": "describe", "data_length": ' + b"9" * 5_000 + b"}\n", "bad-json", False),
    "deep nesting": (b'{"type": "ping", "data": ' + b"[" * 25_000 + b"\n", "bad-json", False),
    "closed deep nesting": (
        b'{"type": "ping", "data": {"text": ' + b"[" * 500 + b"]" * 500 + b"}}\n",
        "bad-json",
        False,
    ),
    "deep nesting in data": (
        line({"type": "ping", "data_length": 1_011}) + b'{"text": ' + b"[" * 500 + b"]" * 500 + b" }",
        "bad-json",
        False,
    ),
    "lone surrogate": (event("ping", {"text": "\ud800"}), "bad-text", False),
    "lone surrogate in the type": (line({"type": "\udfff"}), "bad-text", False),
    "header over 64 KiB": (b'{"type": "' + b"x" * 70_000 + b'"}\n', "too-large", False),
    "endless header": (b"x" * 1_000_000, "too-large", False),
    "no type": (line({"data": {}}), "bad-event", False),
    "type null": (line({"type": None}), "bad-event", False),
    "type number": (line({"type": 5}), "bad-event", False),
    "type empty": (line({"type": ""}), "bad-event", False),
    "data number": (line({"type": "describe", "data": 5}), "bad-event", False),
    "data list": (line({"type": "describe", "data": []}), "bad-event", False),
    "data list behind its length": (line({"type": "describe", "data_length": 2}) + b"[]", "bad-json", False),
    "data null behind its length": (line({"type": "describe", "data_length": 4}) + b"null", "bad-json", False),
    "data no JSON": (line({"type": "describe", "data_length": 4}) + b"{\xff\xff}", "bad-json", False),
    "data_length text": (line({"type": "describe", "data_length": "5"}), "bad-length", False),
    "data_length fraction": (line({"type": "describe", "data_length": 2.5}), "bad-length", False),
    "data_length true": (line({"type": "describe", "data_length": True}), "bad-length", False),
    "data_length negative": (line({"type": "describe", "data_length": -1}), "bad-length", False),
    "data_length list": (line({"type": "describe", "data_length": [1]}), "bad-length", False),
    "data_length 1e12": (line({"type": "describe", "data_length": 10**12}), "too-large", False),
    "data_length 1e12 as a fraction": (b'{"type": "describe", "data_length": 1e12}\n', "bad-length", False),
    "data over 64 KiB": (line({"type": "describe", "data_length": 65_537}) + b" " * 65_537, "too-large", False),
    "payload_length text": (line({"type": "describe", "payload_length": "x"}), "bad-length", False),
    "payload_length negative": (line({"type": "describe", "payload_length": -5}), "bad-length", False),
    "payload_length false": (line({"type": "describe", "payload_length": False}), "bad-length", False),
    "payload_length 1e12": (line({"type": "audio-chunk", "payload_length": 10**12}), "too-large", False),
    "payload over 1 MiB": (
        line({"type": "audio-chunk", "payload_length": 2**20 + 1}) + bytes(2**20 + 1),
        "too-large",
        False,
    ),
    "half a header": (b'{"type": "desc', "truncated", True),
    "half the data": (line({"type": "ping", "data_length": 20}) + b'{"te', "truncated", True),
    "half the payload": (line({"type": "ping", "payload_length": 20}) + b"abc", "truncated", True),
    "ping number": (event("ping", {"text": 5}), "bad-text", False),
    "after a good event": (event("describe") + b"oops\n", "bad-json", False),
}

AUDIO_EVENTS = {
    "rate missing": ({"width": 2, "channels": 1}, CHUNK, "bad-audio"),
    "rate 0": ({**AUDIO, "rate": 0}, CHUNK, "bad-audio"),
    "rate 1": ({**AUDIO, "rate": 1}, CHUNK, "bad-audio"),
    "rate negative": ({**AUDIO, "rate": -16_000}, CHUNK, "bad-audio"),
    "rate text": ({**AUDIO, "rate": "16000"}, CHUNK, "bad-audio"),
    "rate fraction": ({**AUDIO, "rate": 16_000.5}, CHUNK, "bad-audio"),
    "rate 1.5e9": ({**AUDIO, "rate": 1_500_000_000}, CHUNK, "bad-audio"),
    "rate null": ({**AUDIO, "rate": None}, CHUNK, "bad-audio"),
    "width 3": ({**AUDIO, "width": 3}, CHUNK[:318], "bad-audio"),
    "width 7": ({**AUDIO, "width": 7}, CHUNK, "bad-audio"),
    "width 0": ({**AUDIO, "width": 0}, CHUNK, "bad-audio"),
    "channels 0": ({**AUDIO, "channels": 0}, CHUNK, "bad-audio"),
    "channels 6": ({**AUDIO, "channels": 6}, CHUNK[:312], "bad-audio"),
    "channels list": ({**AUDIO, "channels": [1]}, CHUNK, "bad-audio"),
    "odd bytes": (AUDIO, CHUNK[:-1], "bad-audio"),
    "half a stereo frame": ({**AUDIO, "channels": 2}, CHUNK[:-2], "bad-audio"),
}

TASK_EVENTS = {
    ("stt", "language unknown"): (event("transcribe", {"language": "tlh"}), "unsupported-language"),
    ("stt", "language number"): (event("transcribe", {"language": 123}), None),
    ("stt", "model unknown"): (event("transcribe", {"name": "../../etc/passwd"}), None),
    ("stt", "names number"): (event("transcribe", {"transcript_names": 5}), None),
    ("stt", "names of numbers"): (event("transcribe", {"transcript_names": [1, None]}), None),
    ("stt", "format changes"): (
        event("audio-start", AUDIO) + event("audio-chunk", {**AUDIO, "rate": 8_000}, CHUNK),
        "bad-audio",
    ),
    ("tts", "text missing"): (event("synthesize", {}), "bad-text"),
    ("tts", "text number"): (event("synthesize", {"text": 5}), "bad-text"),
    ("tts", "text null"): (event("synthesize", {"text": None}), "bad-text"),
    ("tts", "text over the limit"): (event("synthesize", {"text": "a" * 8_001}), "bad-text"),
    ("tts", "one sentence of 60 KB"): (event("synthesize", {"text": "word " * 12_000}), "bad-text"),
    ("tts", "streamed text over the limit"): (
        event("synthesize-start", {}) + event("synthesize-chunk", {"text": "a b " * 1_500}) * 2,
        "bad-text",
    ),
    ("tts", "voice unknown"): (event("synthesize", {"text": "hi", "voice": {"name": "nobody"}}), "unknown-voice"),
    ("tts", "voice path"): (event("synthesize", {"text": "hi", "voice": {"name": "/etc/passwd"}}), "unknown-voice"),
    ("tts", "voice parent"): (event("synthesize", {"text": "hi", "voice": {"name": "../../x"}}), "unknown-voice"),
    ("tts", "voice text"): (event("synthesize", {"text": "hi", "voice": "tone"}), "bad-voice"),
    ("tts", "voice number"): (event("synthesize", {"text": "hi", "voice": {"name": 5}}), None),
    ("tts", "speaker unknown"): (
        event("synthesize", {"text": "hi", "voice": {"name": "tone", "speaker": "nobody"}}),
        "unknown-speaker",
    ),
    ("tts", "chunk without start"): (event("synthesize-chunk", {"text": "hi"}), None),
    ("tts", "stop without start"): (event("synthesize-stop"), None),
    ("llm", "text missing"): (event("transcript", {}), "bad-text"),
    ("llm", "text number"): (event("transcript", {"text": 5}), "bad-text"),
    ("llm", "text over the limit"): (event("transcript", {"text": "a" * 8_001}), "bad-text"),
    ("llm", "language path"): (event("transcript", {"text": "hi", "language": "../x"}), "bad-language"),
    ("llm", "language number"): (event("transcript", {"text": "hi", "language": 5}), "bad-language"),
    ("llm", "context text"): (event("transcript", {"text": "hi", "context": "abc"}), "bad-event"),
}

# Odd, but allowed: answered with an event of this type.
ALLOWED = {
    ("stt", "start and stop without audio"): (
        event("audio-start", AUDIO) + event("audio-stop", {}),
        "transcript",
    ),
    ("tts", "nothing to say"): (event("synthesize", {"text": "..."}), "audio-stop"),
    ("tts", "empty text"): (event("synthesize", {"text": ""}), "audio-stop"),
    ("tts", "zero-width space"): (event("synthesize", {"text": "\u200b"}), "audio-stop"),
    ("tts", "NUL in the text"): (event("synthesize", {"text": "one\0two"}), "audio-stop"),
    ("tts", "plain after a stream"): (
        event("synthesize-start", {})
        + event("synthesize-chunk", {"text": "one"})
        + event("synthesize-stop")
        + event("synthesize", {"text": "two"}),
        "audio-stop",
    ),
    ("llm", "empty text"): (event("transcript", {"text": ""}), "not-handled"),
    ("llm", "NUL in the text"): (event("transcript", {"text": "a\0b"}), "handled"),
}

GOOD = {
    "vad": (event("audio-start", AUDIO) + event("audio-chunk", AUDIO, LOUD) * 2 + event("audio-stop"), "voice-stopped"),
    "stt": (event("audio-start", AUDIO) + event("audio-chunk", AUDIO, LOUD) * 2 + event("audio-stop"), "transcript"),
    "tts": (event("synthesize", {"text": "all is well"}), "audio-stop"),
    "llm": (event("transcript", {"text": "all is well"}), "handled"),
}


@pytest.fixture(scope="module")
def workers(tmp_path_factory):
    started = {task: WorkerProcess(task, tmp_path_factory.mktemp(task)) for task in TASKS}
    yield started
    statuses = {task: worker.stop() for task, worker in started.items()}
    assert set(statuses.values()) == {0}, statuses
    for task, worker in started.items():
        assert "Traceback" not in worker.log, f"{task}: {worker.log[-4000:]}"


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    engines = {f"HEARTH_{task.upper()}_ENGINE": "scripted" for task in TASKS}
    hub = HubProcess(tmp_path_factory.mktemp("hub"), **engines)
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()
    assert "Traceback" not in hub.log_text()


async def assert_refused(uri: str, sent: bytes, code: str | None, *, ends: bool = False) -> None:
    """The client reads exactly one error, with a code and a sentence, and then the end."""
    received = await exchange(uri, sent, ends=ends)
    errors = [Error.from_event(one) for one in received if one.type == "error"]
    assert len(errors) == 1, [one.type for one in received]
    assert received[-1].type == "error"
    assert errors[0].code == code if code else errors[0].code not in {None, "internal"}
    assert not errors[0].text[0].islower()
    assert errors[0].text.endswith(".")
    assert "Error" not in errors[0].text


async def assert_serves(uri: str, task: str) -> None:
    """A well-behaved client is served."""
    assert (await first(uri, event("describe"), "info")).type == "info"
    sent, answer = GOOD[task]
    await first(uri, sent, answer)


@pytest.mark.parametrize("task", TASKS)
@pytest.mark.parametrize("name", FRAMES)
async def test_malformed_frames_are_refused(workers, task, name):
    sent, code, ends = FRAMES[name]
    await assert_refused(workers[task].uri, sent, code, ends=ends)
    await assert_serves(workers[task].uri, task)


@pytest.mark.parametrize("task", ["vad", "stt"])
@pytest.mark.parametrize("begins", [True, False], ids=["announced", "unannounced"])
@pytest.mark.parametrize("name", AUDIO_EVENTS)
async def test_malformed_audio_is_refused(workers, task, name, begins):
    data, payload, code = AUDIO_EVENTS[name]
    start = event("audio-start", data) if begins else b""
    await assert_refused(workers[task].uri, start + event("audio-chunk", data, payload), code)
    await assert_serves(workers[task].uri, task)


@pytest.mark.parametrize(("task", "name"), TASK_EVENTS)
async def test_malformed_requests_are_refused(workers, task, name):
    sent, code = TASK_EVENTS[task, name]
    await assert_refused(workers[task].uri, sent, code)
    await assert_serves(workers[task].uri, task)


@pytest.mark.parametrize(("task", "name"), ALLOWED)
async def test_odd_but_allowed_requests_are_answered(workers, task, name):
    sent, answer = ALLOWED[task, name]
    await first(workers[task].uri, sent, answer)


@pytest.mark.parametrize("task", TASKS)
async def test_unknown_events_are_passed_over(workers, task):
    odd = event("no-such-event", {"a": [1, {"b": None}]}, b"payload") + event("ping", {"text": "still here"})
    assert (await first(workers[task].uri, odd, "pong")).data["text"] == "still here"


@pytest.mark.slow
@pytest.mark.parametrize("name", FRAMES)
async def test_hub_refuses_malformed_frames(hub, name):
    sent, code, ends = FRAMES[name]
    await assert_refused(hub.uri, sent, code, ends=ends)


@pytest.mark.slow
@pytest.mark.parametrize(("task", "name"), [key for key in TASK_EVENTS if key[0] != "llm"])
async def test_hub_passes_a_workers_refusal_on(hub, task, name):
    sent, code = TASK_EVENTS[task, name]
    await assert_refused(hub.uri, sent, code)


@pytest.mark.slow
@pytest.mark.parametrize("name", AUDIO_EVENTS)
async def test_hub_passes_the_refusal_of_audio_on(hub, name):
    data, payload, code = AUDIO_EVENTS[name]
    await assert_refused(hub.uri, event("audio-start", data) + event("audio-chunk", data, payload), code)


@pytest.mark.slow
async def test_refusal_through_the_hub_reaches_a_client_that_reads_last(hub):
    """As an older Home Assistant does: all of the utterance first, at the pace of speech, then the answer."""
    reader, writer = await asyncio.open_connection(*address(hub.uri))
    writer.write(event("audio-start", {**AUDIO, "width": 3}))
    for _ in range(60):
        writer.write(event("audio-chunk", AUDIO, CHUNK))
        await writer.drain()
        await asyncio.sleep(0.05)
    refusal = await async_read_event(reader)
    writer.close()
    assert refusal
    assert Error.from_event(refusal).code == "bad-audio"


@pytest.mark.slow
async def test_hub_serves_after_all_that(hub):
    for task in ("stt", "tts"):
        await assert_serves(hub.uri, task)
