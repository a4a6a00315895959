"""The recogniser behind the hub: which one answers, and that the event loop goes on meanwhile."""

import asyncio

import pytest

from wyoming_servers.hub.router import MAX_OTHER_LANGUAGES, Router
from wyoming_servers.intents.home import Home, builtin_home
from wyoming_servers.intents.sentences import load_intents


def home_with(lamp, language="en"):
    return Home.from_json(
        {
            "language": language,
            "areas": [{"id": "den", "name": "Den"}],
            "entities": [{"entity_id": "light.lamp", "name": lamp}],
            "satellites": [{"device_id": "box", "area": "den"}],
        }
    )


def found(commands):
    return [(command.intent, command.slots) for command in commands]


async def test_a_text_is_routed():
    router = Router(home_with("Ufo"))

    assert found(await router.route("turn on the ufo")) == [("HassTurnOn", {"name": "Ufo"})]
    assert await router.route("what is love") == ()


async def test_the_satellite_says_where_here_is():
    router = Router(home_with("Ufo"))

    here = await router.route("turn on the lights", device_id="box")
    nowhere = await router.route("turn on the lights", device_id="unheard-of")

    assert found(here) == [("HassTurnOn", {"domain": "light", "area": "Den"})]
    assert nowhere == ()


@pytest.mark.parametrize("language", [None, "en", "en-US"])
async def test_the_households_language_answers_its_variants(language):
    router = Router(home_with("Ufo"))

    assert await router.route("turn on the ufo", language=language)


async def test_another_language_uses_the_same_names():
    router = Router(home_with("Ufo"))

    assert found(await router.route("schalte Ufo ein", language="de-AT")) == [("HassTurnOn", {"name": "Ufo"})]
    assert await router.route("turn on the ufo", language="de") == ()


@pytest.mark.parametrize("language", ["tlh", "../en", "*"])
async def test_a_language_without_sentences_has_no_commands(language):
    assert await Router(home_with("Ufo")).route("turn on the ufo", language=language) == ()


async def test_a_household_of_an_unknown_language_can_still_be_spoken_to_in_another():
    router = Router(home_with("Ufo", "tlh"))

    assert await router.route("turn on the ufo") == ()
    assert await router.route("turn on the ufo", language="en")


async def test_few_other_languages_are_kept():
    router = Router(home_with("Ufo"))

    for language in ("mn", "sw", "et", "id", "mn"):
        await router.route("x", language=language)

    assert len(router._others) <= MAX_OTHER_LANGUAGES
    assert list(router._others)[-1] == "mn"


async def test_the_old_home_answers_until_the_new_one_is_ready():
    router = Router(home_with("Ufo"))
    await router.prepare()
    replacing = asyncio.create_task(router.replace(builtin_home("de")))
    await asyncio.sleep(0)

    before = await router.route("turn on the ufo")
    await replacing

    assert found(before) == [("HassTurnOn", {"name": "Ufo"})]
    assert router.home == builtin_home("de")
    assert found(await router.route("schalte den Fernseher ein")) == [("HassTurnOn", {"name": "Fernseher"})]
    assert await router.route("turn on the ufo", language="en") == ()


async def test_the_event_loop_goes_on_while_a_language_is_loaded():
    load_intents.cache_clear()
    router = Router(home_with("Ufo"))
    beats = 0

    async def beat():
        nonlocal beats
        while True:
            await asyncio.sleep(0.005)
            beats += 1

    beating = asyncio.create_task(beat())
    await router.route("schalte Ufo ein", language="de")
    beating.cancel()

    assert beats >= 3


async def test_many_at_once_are_answered():
    router = Router(home_with("Ufo"))

    answers = await asyncio.gather(*(router.route("turn on the ufo", language=tag) for tag in ["en", "en-GB"] * 20))

    assert [found(commands) for commands in answers] == [[("HassTurnOn", {"name": "Ufo"})]] * 40
