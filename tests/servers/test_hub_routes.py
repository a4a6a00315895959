"""One port for everything: what the hub says of itself, and who gets which event."""

import aiohttp
import pytest
from wyoming.asr import Transcript
from wyoming.audio import AudioChunk, AudioStart
from wyoming.event import Event
from wyoming.handle import Handled, HandledChunk
from wyoming.info import SelectProgram
from wyoming.intent import Intent, NotRecognized
from wyoming.ping import Ping
from wyoming.tts import Synthesize, SynthesizeChunk, SynthesizeStart, SynthesizeStop

from tests.support.eventually import until
from tests.support.hub_process import HubProcess
from tests.support.speaker import Speaker
from tests.support.wyoming_client import ask, receive_until, said, send_all, speak, spoken
from wyoming_servers.wire.client import Client, describe

SENTENCE = "turn on the kitchen light"
HOME = {
    "language": "en",
    "areas": [{"id": "kitchen", "name": "Kitchen"}, {"id": "study", "name": "Study"}],
    "entities": [
        {"entity_id": "light.kitchen", "name": "Kitchen light", "domain": "light", "area": "kitchen"},
        {"entity_id": "switch.kettle", "name": "Kettle", "domain": "switch", "area": "kitchen"},
    ],
    "satellites": [{"device_id": "on-the-desk", "area": "study"}],
}


@pytest.fixture(scope="module")
def hub(tmp_path_factory):
    """A hub with a language model that repeats what it is told."""
    hub = HubProcess(
        tmp_path_factory.mktemp("hub"),
        HEARTH_STT_ENGINE="scripted",
        HEARTH_SCRIPT_STT=SENTENCE,
        HEARTH_LLM_ENGINE="scripted",
        HEARTH_SCRIPT_LLM="It is a fine day.",
    )
    try:
        hub.start()
        hub.put_home(HOME)
        yield hub
    finally:
        hub.stop()


@pytest.fixture(scope="module")
def hub_without_llm(tmp_path_factory):
    hub = HubProcess(tmp_path_factory.mktemp("plain"), HEARTH_STT_ENGINE="scripted", HEARTH_SCRIPT_STT=SENTENCE)
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


@pytest.fixture(scope="module")
def pcm():
    return Speaker()(SENTENCE)


async def test_info_offers_one_program_per_service(hub):
    info = await describe(hub.uri)
    programs = [*info.asr, *info.tts, *info.intent, *info.handle]
    assert [program.name for program in programs] == ["hearth"] * 4
    assert all(program.installed for program in programs)
    assert not info.wake
    assert info.satellite is None


async def test_info_keeps_what_the_workers_say_of_themselves(hub):
    info = await describe(hub.uri)
    assert not info.asr[0].requires_external_vad
    assert info.asr[0].models[0].languages == ["en", "de", "fr", "es"]
    assert info.tts[0].supports_synthesize_streaming
    assert any("en" in voice.languages[0] for voice in info.tts[0].voices)
    assert info.handle[0].supports_handled_streaming
    assert {"en", "de", "nl", "pt-BR"} <= set(info.intent[0].models[0].languages)


async def test_info_offers_no_handling_without_a_language_model(hub_without_llm):
    info = await describe(hub_without_llm.uri)
    assert not info.handle
    assert info.intent


async def test_ping_comes_back(hub):
    assert (await ask(hub.uri, Ping(text="are you there"), "pong"))[-1].data == {"text": "are you there"}


async def test_audio_becomes_a_transcript(hub, pcm):
    async with Client(hub.uri) as client:
        await send_all(client, spoken(pcm))
        events = await receive_until(client, "transcript-stop", "error")
    assert [Transcript.from_event(event).text for event in events if event.type == "transcript"] == [SENTENCE]
    assert "voice-stopped" in {event.type for event in events}


async def test_selected_voice_detection_gets_the_audio(hub, pcm):
    async with Client(hub.uri) as client:
        await send_all(client, [SelectProgram(name="vad"), *spoken(pcm + bytes(64_000))[1:]])
        events = await receive_until(client, "voice-stopped", "error")
    assert [event.type for event in events] == ["voice-started", "voice-stopped"]


async def test_unknown_program_is_refused(hub):
    events = await ask(hub.uri, SelectProgram(name="../vad"))
    assert [event.data["code"] for event in events] == ["unknown-program"]


async def test_text_becomes_speech(hub):
    events = await ask(hub.uri, speak("hello"), "audio-stop")
    assert any(AudioChunk.from_event(event).audio.strip(b"\0") for event in events if event.type == "audio-chunk")


async def test_streamed_text_becomes_speech(hub):
    async with Client(hub.uri) as client:
        text = "It is twelve. "
        await send_all(client, [SynthesizeStart(), SynthesizeChunk(text=text), Synthesize(text=text), SynthesizeStop()])
        events = await receive_until(client, "synthesize-stopped", "error")
    assert events[-1].type == "synthesize-stopped"
    assert sum(event.type == "audio-start" for event in events) == 1


async def test_command_becomes_an_intent(hub):
    events = await ask(hub.uri, said(SENTENCE, device_id="x"), "intent")
    intent = Intent.from_event(events[-1])
    assert intent.name == "HassTurnOn"
    assert {entity.name: entity.value for entity in intent.entities}["name"] == "Kitchen light"
    assert intent.text
    assert intent.context == {"conversation_id": "1", "device_id": "x"}


async def test_several_commands_become_several_intents(hub):
    events = await ask(hub.uri, said("turn on the kitchen light and turn off the kettle"), "intents-stop")
    assert [event.type for event in events] == ["intents-start", "intent", "intent", "intents-stop"]
    assert [event.data["name"] for event in events if event.type == "intent"] == ["HassTurnOn", "HassTurnOff"]


async def test_recognize_is_answered_like_a_transcript(hub):
    events = await ask(hub.uri, Event("recognize", {"text": "turn off the kettle"}), "intent")
    assert Intent.from_event(events[-1]).name == "HassTurnOff"


async def test_known_satellite_means_its_area(hub):
    events = await ask(hub.uri, said("turn on the lights", device_id="on-the-desk"), "intent")
    slots = {entity.name: entity.value for entity in Intent.from_event(events[-1]).entities}
    assert slots["area"] == "Study"


async def test_anything_else_goes_to_the_language_model(hub):
    events = await ask(hub.uri, said("how are you today"), "handled-stop")
    assert Handled.from_event(next(event for event in events if event.type == "handled")).text == "It is a fine day."
    chunks = [HandledChunk.from_event(event).text for event in events if event.type == "handled-chunk"]
    assert "".join(chunks) == "It is a fine day."


@pytest.mark.parametrize(
    ("language", "sentence"),
    [("en", "Sorry, I couldn't understand that"), ("de-DE", "das habe ich nicht verstanden"), ("xx", "Sorry")],
)
async def test_without_a_language_model_it_says_sorry(hub_without_llm, language, sentence):
    events = await ask(hub_without_llm.uri, Transcript(text="how are you today", language=language), "not-recognized")
    assert sentence in NotRecognized.from_event(events[-1]).text


@pytest.mark.parametrize("text", ["", "   ", "...", "\u200b"])
async def test_nothing_said_is_answered_and_wakes_no_model(hub, text):
    events = await ask(hub.uri, said(text), "not-recognized")
    assert NotRecognized.from_event(events[-1]).text


@pytest.mark.parametrize(
    ("data", "code"),
    [
        ({}, "bad-text"),
        ({"text": 5}, "bad-text"),
        ({"text": "a" * 8_001}, "bad-text"),
        ({"text": "x", "context": "y"}, "bad-event"),
        ({"text": "x", "context": {"y": "z" * 20_000}}, "too-large"),
        ({"text": "x", "language": 3}, "bad-language"),
        ({"text": "x", "language": "../en"}, "bad-language"),
    ],
)
async def test_text_that_cannot_be_used_is_refused(hub, data, code):
    events = await ask(hub.uri, Event("transcript", data))
    assert [event.data["code"] for event in events] == [code]


async def test_one_connection_serves_one_request_after_another(hub, pcm):
    async with Client(hub.uri) as client:
        for _ in range(2):
            await send_all(client, spoken(pcm))
            assert (await receive_until(client, "transcript-stop", "error"))[-1].type == "transcript-stop"
            await client.send(said(SENTENCE))
            assert (await receive_until(client, "intent", "error"))[-1].type == "intent"
            await client.send(said("how are you today"))
            assert (await receive_until(client, "handled-stop", "error"))[-1].type == "handled-stop"
            await client.send(speak("hello"))
            assert (await receive_until(client, "audio-stop", "error"))[-1].type == "audio-stop"


async def test_worker_refusal_reaches_the_client(hub):
    async with Client(hub.uri) as client:
        await client.send(AudioStart(rate=1, width=2, channels=1))
        events = await receive_until(client, "error")
        assert events[-1].data["code"] == "bad-audio"
        assert await client.receive() is None


async def test_unknown_events_are_dropped(hub):
    async with Client(hub.uri) as client:
        await client.send(Event("made-up", {"x": 1}))
        await client.send(Ping())
        assert [event.type for event in await receive_until(client, "pong")] == ["pong"]


async def test_client_that_leaves_ends_its_synthesis(hub):
    async with Client(hub.uri) as client:
        await client.send(speak("one two three four five. " * 300))
        await receive_until(client, "audio-chunk")

    async def is_cancelled() -> bool:
        async with aiohttp.ClientSession() as session, session.get(hub.http + "/metrics") as response:
            return 'outcome="cancelled",service="tts"' in await response.text()

    await until(is_cancelled)
