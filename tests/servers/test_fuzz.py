"""No bytes and no event make a server fail in a way it has no words for."""

import asyncio
import contextlib
from collections.abc import Sequence

import pytest
from hypothesis import HealthCheck, given, settings, strategies as st
from wyoming.event import Event, async_read_event

from tests.support.raw_wire import address, event, first
from tests.support.worker_process import WorkerProcess
from wyoming_servers.errors import RequestError
from wyoming_servers.wire.limits import Limits
from wyoming_servers.wire.reader import read_event

TYPES = (
    *("describe", "ping", "select-program", "info", "error", "voice-started"),
    *("transcribe", "audio-start", "audio-chunk", "audio-stop", "transcript", "recognize"),
    *("synthesize", "synthesize-start", "synthesize-chunk", "synthesize-stop"),
)
KEYS = (
    *("text", "text_format", "rate", "width", "channels", "timestamp", "name", "language", "context", "voice"),
    *("speaker", "conversation_id", "vad_sensitivity", "transcript_names", "transcript_terms"),
)
PLAUSIBLE = st.sampled_from([16_000, 2, 1, 0, -1, 10**30, "en", "tone", "hello world", "", "\x00", "\u200b", "😀"])
ANYTHING = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.sampled_from(KEYS), inner, max_size=3),
    max_leaves=6,
)
DATA = st.dictionaries(st.sampled_from(KEYS), PLAUSIBLE | ANYTHING, max_size=5)
AUDIO = st.just({"rate": 16_000, "width": 2, "channels": 1})
EVENTS = st.lists(
    st.builds(event, st.sampled_from(TYPES), DATA | AUDIO, st.binary(max_size=64) | st.just(b"\x00\x40" * 4_000)),
    min_size=1,
    max_size=5,
)


@settings(max_examples=300, deadline=None, derandomize=True, database=None)
@given(sent=st.binary(max_size=400) | EVENTS.map(b"".join), cut=st.integers(0, 400))
def test_bytes_are_events_or_refused(sent: bytes, cut: int):
    async def read() -> None:
        reader = asyncio.StreamReader(limit=Limits().header_bytes)
        reader.feed_data(sent[: max(1, len(sent) - cut)])
        reader.feed_eof()
        with contextlib.suppress(RequestError):
            while await read_event(reader, Limits()):
                pass

    asyncio.run(read())


@pytest.fixture(scope="module", params=["vad", "stt", "tts", "llm"])
def worker(request, tmp_path_factory):
    worker = WorkerProcess(request.param, tmp_path_factory.mktemp(request.param))
    yield worker
    assert worker.stop() == 0
    assert "Traceback" not in worker.log
    assert "Unexpected" not in worker.log


@settings(max_examples=40, deadline=None, derandomize=True, database=None, suppress_health_check=list(HealthCheck))
@given(sent=EVENTS)
def test_events_are_answered_or_refused_in_words(worker: WorkerProcess, sent: list[bytes]):
    received = asyncio.run(converse(worker.uri, b"".join(sent)))
    errors = [one.data for one in received if one.type == "error"]
    assert len(errors) <= 1
    assert not any(error["code"] == "internal" for error in errors)


def test_a_good_client_is_served_after_all_that(worker: WorkerProcess):
    assert asyncio.run(first(worker.uri, event("describe"), "info"))


async def converse(uri: str, sent: bytes) -> Sequence[Event]:
    """Send, and return what comes until a moment passes without anything, or until the end."""
    reader, writer = await asyncio.open_connection(*address(uri))
    received = []
    writer.write(sent + event("ping", {"text": "the end"}))
    with contextlib.suppress(TimeoutError):
        while True:
            async with asyncio.timeout(0.02 if received and received[-1].data.get("text") == "the end" else 10):
                one = await async_read_event(reader)
            if one is None:
                break
            received.append(one)
    writer.close()
    await writer.wait_closed()
    return received
