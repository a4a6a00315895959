"""A spoken command goes into a stock Home Assistant, and a light goes on."""

import asyncio

import pytest

from tests.support.assist import Assist, loudness
from tests.support.household import Household
from tests.support.speaker import Speaker

pytestmark = [pytest.mark.home_assistant, pytest.mark.timeout(300)]


async def test_one_entry_gives_speech_to_text_conversation_and_text_to_speech(household: Household) -> None:
    assert set(household.entities) == {"stt", "conversation", "tts"}


async def test_a_spoken_command_switches_a_light_and_is_answered_aloud(
    household: Household, assist: Assist, say: Speaker
) -> None:
    turn = await assist.speak(household.pipeline, say("turn on the kitchen light"))

    assert turn.error is None
    assert turn.transcript.lower() == "turn on the kitchen light"
    assert turn.response["response_type"] == "action_done"
    assert await assist.state("light.kitchen_light") == "on"
    assert await assist.state("light.office_light") == "off"
    assert turn.reply == "Turned on the light"
    assert loudness(turn.speech, household.home_assistant.ffmpeg) > 0.01


async def test_hearth_and_not_home_assistant_ends_the_turn(household: Household, assist: Assist, say: Speaker) -> None:
    turn = await assist.speak(household.pipeline, say("turn on the office light"))

    assert turn.error is None
    assert turn.data("stt-vad-end") == {}
    assert not turn.is_ended_by_person
    assert turn.data("stt-start")["audio_processing"]["requires_external_vad"] is False


async def test_two_commands_in_one_sentence_switch_two_lights(household: Household, assist: Assist) -> None:
    turn = await assist.write(household.pipeline, "turn on the kitchen light and the office light")

    assert turn.error is None
    assert [await assist.state(f"light.{name}_light") for name in ("kitchen", "office")] == ["on", "on"]


async def test_a_question_is_answered_with_the_state_home_assistant_knows(household: Household, assist: Assist) -> None:
    await assist.write(household.pipeline, "turn on the kitchen light")
    turn = await assist.write(household.pipeline, "is the kitchen light on")

    assert turn.response["response_type"] == "query_answer"
    assert turn.reply == "Yes"


async def test_what_is_no_command_is_answered_politely(household: Household, assist: Assist) -> None:
    turn = await assist.write(household.pipeline, "why do cats purr in the moonlight")

    assert turn.error is None
    assert turn.response["response_type"] == "error"
    assert turn.response["data"]["code"] == "no_intent_match"
    assert turn.reply.startswith("Sorry")
    assert loudness(turn.speech, household.home_assistant.ffmpeg) > 0.01


async def test_silence_ends_by_itself_and_switches_nothing(household: Household, assist: Assist) -> None:
    turn = await assist.speak(household.pipeline, bytes(32_000))

    assert turn.data("error")["code"] == "stt-no-text-recognized"
    assert not turn.is_ended_by_person
    assert await assist.state("light.kitchen_light") == "off"


async def test_the_next_turn_works_after_the_hub_was_restarted(
    household: Household, assist: Assist, say: Speaker
) -> None:
    await asyncio.to_thread(household.hub.stop)
    await asyncio.to_thread(household.hub.start)

    turn = await assist.speak(household.pipeline, say("turn on the kitchen light"))

    assert turn.error is None
    assert await assist.state("light.kitchen_light") == "on"
