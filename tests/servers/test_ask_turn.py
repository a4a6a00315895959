"""One turn against servers that behave in every way a server may."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest
from wyoming.asr import Transcribe, Transcript
from wyoming.audio import AudioChunk
from wyoming.error import Error
from wyoming.event import Event, Eventable
from wyoming.handle import NotHandled
from wyoming.intent import Entity, Intent, IntentsStart, IntentsStop, NotRecognized
from wyoming.tts import Synthesize, SynthesizeStopped

from tests.support.fake_hub import SPEECH, FakeHandler, FakeHub, served
from tests.support.wav import read_wav, tone
from wyoming_servers.ask.answer import Answer, FoundIntent
from wyoming_servers.ask.recording import PlayedRecording, Recording, WavFile
from wyoming_servers.ask.turn import Asking, Turn
from wyoming_servers.wire.connection import Connection


def spoken(seconds: float = 0.2, tail_seconds: float = 5) -> PlayedRecording:
    return PlayedRecording(Recording(pcm=tone(seconds), rate_hz=16_000, channels=1), tail_seconds=tail_seconds)


@pytest.fixture
def reply(tmp_path: Path) -> Path:
    return tmp_path / "reply.wav"


async def take_turn(hub: FakeHub, reply: Path, question: PlayedRecording | str | None = None, **asking: str) -> Answer:
    async with served(hub) as uri:
        return await Turn(Asking(uri=uri, **asking)).run(question or spoken(), WavFile(reply))


async def test_a_spoken_question_is_answered_aloud(reply: Path) -> None:
    answer = await take_turn(FakeHub(), reply)

    assert (answer.error, answer.transcript, answer.reply) == (None, "what time is it", "It is noon.")
    assert read_wav(reply) == (22_050, 1, tone(0.1) * 2)


async def test_each_request_has_a_connection_of_its_own_and_home_assistants_events(reply: Path) -> None:
    hub = FakeHub()

    await take_turn(hub, reply, language="en", device_id="abc", vad_sensitivity="relaxed")

    assert len(hub.received) == 3
    assert hub.types(0)[:3] == ["transcribe", "audio-start", "audio-chunk"]
    transcribe = Transcribe.from_event(hub.received[0][0])
    assert (transcribe.language, transcribe.vad_sensitivity) == ("en", "relaxed")
    assert {len(event.payload or b"") for event in hub.received[0][2:]} == {320}
    question = Transcript.from_event(hub.received[1][0])
    assert (question.text, question.language) == ("what time is it", "en")
    assert question.context is not None
    assert question.context.keys() == {"conversation_id", "device_id"}
    assert hub.types(2) == ["synthesize-start", "synthesize-chunk", "synthesize", "synthesize-stop"]
    assert Synthesize.from_event(hub.received[2][2]).text == "It is noon."


async def test_audio_stops_once_the_server_has_ended_the_turn(reply: Path) -> None:
    hub = FakeHub(ends_after=30)

    await take_turn(hub, reply, spoken(0.2))

    assert "audio-stop" not in hub.types(0)
    assert 30 <= len(hub.types(0)) < 60


async def test_a_server_that_never_ends_the_turn_is_told_to(reply: Path) -> None:
    hub = FakeHub(ends_after=-1)

    answer = await take_turn(hub, reply, spoken(0.2, tail_seconds=0.2))

    assert hub.types(0)[-1] == "audio-stop"
    assert answer.transcript == "what time is it"


async def test_timings_begin_at_the_last_sound(reply: Path) -> None:
    answer = await take_turn(FakeHub(ends_after=40), reply, spoken(0.2))

    times = answer.timings_ms
    assert times.endpoint is not None and 190 <= times.endpoint < 1_000
    assert times.stt is not None and times.stt >= 0
    assert times.llm is not None and times.route is None
    assert times.total is not None and times.tts_first_audio is not None
    assert times.total >= times.endpoint + times.stt + times.llm + times.tts_first_audio - 1


async def test_a_written_question_needs_no_speech_to_text(reply: Path) -> None:
    hub = FakeHub()

    answer = await take_turn(hub, reply, "what time is it")

    assert hub.types(0) == ["transcript"]
    assert (answer.timings_ms.endpoint, answer.timings_ms.stt) == (None, None)
    assert answer.timings_ms.total is not None


async def test_a_command_is_shown_with_its_slots_and_its_reply_is_rendered(reply: Path) -> None:
    intent = Intent(
        name="HassTurnOn", entities=[Entity("name", "Kitchen light")], text="Turned on {{ slots.name | lower }}"
    )

    answer = await take_turn(FakeHub(replies=[intent]), reply)

    assert answer.intents == [FoundIntent(name="HassTurnOn", slots={"name": "Kitchen light"})]
    assert answer.reply == "Turned on kitchen light"
    assert answer.timings_ms.route is not None and answer.timings_ms.llm is None


async def test_several_commands_are_all_shown_and_their_replies_joined(reply: Path) -> None:
    intents = [Intent(name=name, text=f"Did {name}") for name in ("HassTurnOn", "HassTurnOff")]

    answer = await take_turn(FakeHub(replies=[IntentsStart(), *intents, IntentsStop()]), reply)

    assert [intent.name for intent in answer.intents] == ["HassTurnOn", "HassTurnOff"]
    assert answer.reply == "Did HassTurnOn\nDid HassTurnOff"


@pytest.mark.parametrize("event", [NotRecognized(text="Sorry?"), NotHandled(text="Sorry?")])
async def test_what_is_not_understood_is_answered_politely(reply: Path, event: Eventable) -> None:
    answer = await take_turn(FakeHub(replies=[event]), reply)

    assert (answer.reply, answer.error, answer.intents) == ("Sorry?", None, [])
    assert read_wav(reply)[2]


FAILURES: list[tuple[Callable[[], FakeHub], str]] = [
    (lambda: FakeHub(hears=""), "No words were understood."),
    (lambda: FakeHub(replies=[Error(text="The model is gone.", code="engine-failed")]), "The model is gone."),
    (
        lambda: FakeHub(replies=[Event(type="intent", data={"entities": [{}]})]),
        "The server sent an intent that cannot be read.",
    ),
    (lambda: FakeHub(speech=[SynthesizeStopped()]), "The reply came without any audio."),
    (lambda: FakeHub(speech=[Error(text="The voice broke.")]), "The voice broke."),
    (
        lambda: FakeHub(speech=[AudioChunk(rate=22_050, width=1, channels=1, audio=b"ab")]),
        "The reply's audio is not 16-bit PCM.",
    ),
    (
        lambda: FakeHub(speech=[*SPEECH[:2], AudioChunk(rate=16_000, width=2, channels=1, audio=b"ab")]),
        "The reply's audio changed its format midway.",
    ),
]


@pytest.mark.parametrize(("make_hub", "sentence"), FAILURES, ids=[sentence for _, sentence in FAILURES])
async def test_a_failure_is_told_in_the_servers_words_or_ours(
    reply: Path, make_hub: Callable[[], FakeHub], sentence: str
) -> None:
    answer = await take_turn(make_hub(), reply)

    assert answer.error == sentence


async def test_a_refusal_in_mid_utterance_is_told_with_its_reason(reply: Path) -> None:
    class Refusing(FakeHub):
        def handler(self, connection: Connection) -> FakeHandler:
            asyncio.get_running_loop().call_soon(lambda: connection.spawn(self._refuse(connection)))
            return super().handler(connection)

        async def _refuse(self, connection: Connection) -> None:
            await asyncio.sleep(0.1)
            await connection.send(Error(text="Everything is in use.", code="busy"))
            connection.close()

    answer = await take_turn(Refusing(hears=None), reply)

    assert answer.error == "Everything is in use."


async def test_a_server_that_is_not_there_is_named(reply: Path) -> None:
    answer = await Turn(Asking(uri="tcp://127.0.0.1:9")).run(spoken(), WavFile(reply))

    assert answer.error == "Nothing answers at tcp://127.0.0.1:9."


def test_the_document_has_the_promised_keys() -> None:
    document = Answer().to_json()

    assert document.keys() == {"transcript", "intents", "reply", "timings_ms"}
    assert list(document["timings_ms"]) == ["endpoint", "stt", "route", "llm", "tts_first_audio", "total"]
    assert Answer(error="No.").to_json()["error"] == "No."
