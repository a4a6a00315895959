"""What is understood, what is left alone, and what is said about it."""

import threading
import time
from datetime import datetime

import pytest
from home_assistant_intents import get_languages
from hypothesis import example, given, settings, strategies as st

from wyoming_servers.intents.home import Home, builtin_home
from wyoming_servers.intents.recogniser import MAX_CHARACTERS, Command, Recogniser
from wyoming_servers.intents.responses import render_response, settle_response
from wyoming_servers.intents.sentences import find_language, spoken_forms

HOME = Home.from_json(
    {
        "language": "en",
        "floors": [{"id": "up", "name": "First floor", "aliases": ["upstairs"]}],
        "areas": [
            {"id": "kitchen", "name": "Kitchen"},
            {"id": "bedroom", "name": "Bedroom", "aliases": ["chamber"], "floor": "up"},
            {"id": "hall", "name": "Hall and stairs"},
        ],
        "entities": [
            {"entity_id": "light.kitchen", "name": "Kitchen light", "aliases": ["cooker light"], "area": "kitchen"},
            {"entity_id": "light.bedroom", "name": "Bedroom light", "area": "bedroom"},
            {"entity_id": "light.lamp_1", "name": "Lamp", "area": "kitchen"},
            {"entity_id": "light.lamp_2", "name": "Lamp", "area": "bedroom"},
            {"entity_id": "light.spot_2", "name": "Spot 2"},
            {"entity_id": "light.kid", "name": "Kid’s night-light"},
            {"entity_id": "switch.salt", "name": "Salt and pepper"},
            {"entity_id": "fan.fan", "name": "Ceiling fan"},
            {"entity_id": "media_player.tv", "name": "TV"},
            {"entity_id": "lock.front", "name": "Front door"},
            {"entity_id": "cover.blind", "name": "Roller", "device_class": "blind", "area": "bedroom"},
            {"entity_id": "script.party", "name": "Party mode"},
        ],
    }
)


@pytest.fixture(scope="module")
def recogniser():
    return Recogniser(HOME)


def found(commands):
    return [(command.intent, command.slots) for command in commands]


@pytest.mark.parametrize(
    ("text", "intent", "slots"),
    [
        ("turn on the kitchen light", "HassTurnOn", {"name": "Kitchen light"}),
        ("Turn ON the Kitchen Light!", "HassTurnOn", {"name": "Kitchen light"}),
        ("please, could you turn off the cooker light?", "HassTurnOff", {"name": "cooker light"}),
        ("turn on the kitchen lights", "HassTurnOn", {"area": "Kitchen", "domain": "light"}),
        ("turn off the lights in the chamber", "HassTurnOff", {"area": "Bedroom", "domain": "light"}),
        ("turn on the lights upstairs", "HassTurnOn", {"floor": "First floor", "domain": "light"}),
        ("turn on spot 2", "HassTurnOn", {"name": "Spot 2"}),
        ("turn on spot two", "HassTurnOn", {"name": "Spot 2"}),
        ("turn on the kids night light", "HassTurnOn", {"name": "Kid’s night-light"}),
        ("turn on the kid's night light", "HassTurnOn", {"name": "Kid’s night-light"}),
        ("set the kitchen light to 50%", "HassLightSet", {"name": "Kitchen light", "brightness": 50}),
        ("set the kitchen light to 50 %", "HassLightSet", {"name": "Kitchen light", "brightness": 50}),
        ("set kitchen light to fifty percent", "HassLightSet", {"name": "Kitchen light", "brightness": 50}),
        ("open the roller", "HassTurnOn", {"name": "Roller"}),
        ("unlock the front door", "HassTurnOff", {"name": "Front door"}),
        ("turn on salt and pepper", "HassTurnOn", {"name": "Salt and pepper"}),
        ("turn on the hall and stairs lights", "HassTurnOn", {"area": "Hall and stairs", "domain": "light"}),
        ("set a timer for five and a half minutes", "HassStartTimer", {"minutes": 5, "seconds": 30}),
        ("set a 5 minute timer for Pasta & Rice", "HassStartTimer", {"minutes": 5, "name": "Pasta & Rice"}),
        ("what time is it", "HassGetCurrentTime", {}),
        ("run party mode", "HassTurnOn", {"name": "Party mode"}),
    ],
)
def test_a_command_is_recognised(recogniser, text, intent, slots):
    assert found(recogniser.recognise(text)) == [(intent, slots)]


@pytest.mark.parametrize(
    "text",
    [
        "",
        "   ",
        "?!",
        "turn",
        "turn on",
        "turn on the dishwasher",
        "turn on the attic lights",
        "set the kitchen light to 150%",
        "is there a light in the kitchen that I might turn on one day",
        "tell me a story about a kitchen light and a ceiling fan",
        "open the kitchen light",
        "who is the president of France",
        "don't turn on the kitchen light",
        "turn on the kitchen light when I get home",
        "I left the kitchen light on yesterday",
        "turn on the kitchen light " + "please " * 60,
    ],
)
def test_what_is_no_command_is_left_alone(recogniser, text):
    assert recogniser.recognise(text) == ()


def test_a_name_must_be_of_a_kind_the_sentence_is_for(recogniser):
    assert recogniser.recognise("lock the tv") == ()
    assert found(recogniser.recognise("lock the front door")) == [("HassTurnOn", {"name": "Front door"})]


@pytest.mark.parametrize("area", ["bedroom", "Bedroom", "BEDROOM"])
def test_here_is_where_the_speaker_is(recogniser, area):
    commands = recogniser.recognise("turn on the lights", area=area)

    assert found(commands) == [("HassTurnOn", {"area": "Bedroom", "domain": "light"})]


@pytest.mark.parametrize("area", [None, "attic"])
def test_without_a_known_place_here_means_nothing(recogniser, area):
    assert recogniser.recognise("turn on the lights", area=area) == ()


def test_of_two_things_with_a_name_the_one_nearby_is_preferred(recogniser):
    here = recogniser.recognise("turn on the lamp", area="bedroom")
    elsewhere = recogniser.recognise("turn on the lamp")
    alone = recogniser.recognise("turn on the kitchen light", area="bedroom")

    assert found(here) == [("HassTurnOn", {"name": "Lamp", "preferred_area_id": "bedroom"})]
    assert found(elsewhere) == [("HassTurnOn", {"name": "Lamp"})]
    assert found(alone) == [("HassTurnOn", {"name": "Kitchen light"})]


def test_a_thing_is_not_looked_for_where_it_is_not(recogniser):
    assert found(recogniser.recognise("turn on the lamp in the bedroom")) == [
        ("HassTurnOn", {"name": "Lamp", "area": "Bedroom"})
    ]
    assert recogniser.recognise("open the roller in the kitchen") == ()


@pytest.mark.parametrize(
    "item", ["Müller’s milk", "O'Brien's whisky, eggs and Käse", "salt and pepper", "{{ states('x') }}", "AA-batteries"]
)
def test_free_text_stays_as_it_was_written(recogniser, item):
    commands = recogniser.recognise(f"add {item} to my shopping list.")

    assert found(commands) == [("HassShoppingListAddItem", {"item": item})]


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (
            "turn on the kitchen light and lock the front door",
            [("HassTurnOn", {"name": "Kitchen light"}), ("HassTurnOn", {"name": "Front door"})],
        ),
        (
            "Turn off the TV, then set a timer for ten minutes.",
            [("HassTurnOff", {"name": "TV"}), ("HassStartTimer", {"minutes": 10})],
        ),
        (
            "turn off the kitchen light and the bedroom light",
            [("HassTurnOff", {"name": "Kitchen light"}), ("HassTurnOff", {"name": "Bedroom light"})],
        ),
        (
            "turn the kitchen light and the ceiling fan off",
            [("HassTurnOff", {"name": "Kitchen light"}), ("HassTurnOff", {"name": "Ceiling fan"})],
        ),
        (
            "turn on the bedroom and kitchen lights",
            [
                ("HassTurnOn", {"area": "Bedroom", "domain": "light"}),
                ("HassTurnOn", {"area": "Kitchen", "domain": "light"}),
            ],
        ),
        (
            "turn off salt and pepper and the ceiling fan",
            [("HassTurnOff", {"name": "Salt and pepper"}), ("HassTurnOff", {"name": "Ceiling fan"})],
        ),
        (
            "turn off the tv, the ceiling fan and the kitchen light",
            [
                ("HassTurnOff", {"name": "TV"}),
                ("HassTurnOff", {"name": "Ceiling fan"}),
                ("HassTurnOff", {"name": "Kitchen light"}),
            ],
        ),
        (
            "turn off the tv, the ceiling fan, the kitchen light and the bedroom light",
            [
                ("HassTurnOff", {"name": "TV"}),
                ("HassTurnOff", {"name": "Ceiling fan"}),
                ("HassTurnOff", {"name": "Kitchen light"}),
                ("HassTurnOff", {"name": "Bedroom light"}),
            ],
        ),
        (
            "turn on the bedroom light and close the blinds",
            [
                ("HassTurnOn", {"name": "Bedroom light"}),
                ("HassTurnOff", {"device_class": "blind", "domain": "cover", "area": "Bedroom"}),
            ],
        ),
    ],
)
def test_several_commands_in_a_sentence(recogniser, text, commands):
    assert found(recogniser.recognise(text)) == commands


@pytest.mark.parametrize(
    "text",
    [
        "turn off the kitchen light and feed the cat",
        "feed the cat and turn off the kitchen light",
        "turn off the kitchen light and party mode",
        "turn off the tv and the tv",
        "kitchen light and turn off the tv",
        "turn off salt",
        "and turn on the kitchen light and",
        " and ".join(["turn on the tv"] * 12),
    ],
)
def test_a_sentence_is_not_split_unless_every_part_is_a_command(recogniser, text):
    assert recogniser.recognise(text) == ()


@pytest.mark.parametrize(
    ("text", "commands"),
    [
        (
            "set a 5 minute timer for pizza and turn off the tv",
            [("HassStartTimer", {"minutes": 5, "name": "pizza"}), ("HassTurnOff", {"name": "TV"})],
        ),
        (
            "turn off the tv and 5 minutes timer status",
            [("HassTurnOff", {"name": "TV"}), ("HassTimerStatus", {"start_minutes": 5})],
        ),
        ("set a 5 minute timer for salt and pepper", [("HassStartTimer", {"minutes": 5, "name": "salt and pepper"})]),
        ("add milk and eggs to my shopping list", [("HassShoppingListAddItem", {"item": "milk and eggs"})]),
        ("broadcast come and turn off the tv", [("HassBroadcast", {"message": "come and turn off the tv"})]),
    ],
)
def test_free_text_takes_an_and_but_not_a_command(recogniser, text, commands):
    assert found(recogniser.recognise(text)) == commands


def test_the_room_of_the_speaker_outranks_the_one_just_mentioned(recogniser):
    commands = recogniser.recognise("turn on the bedroom light and close the blinds", area="kitchen")

    assert commands[1].slots["area"] == "Kitchen"


@pytest.mark.parametrize(
    ("language", "text", "commands"),
    [
        ("de", "schalte das Küchenlicht ein", [("HassTurnOn", {"name": "Küchenlicht"})]),
        (
            "de",
            "schalte das Küchenlicht und den Fernseher aus",
            [("HassTurnOff", {"name": "Küchenlicht"}), ("HassTurnOff", {"name": "Fernseher"})],
        ),
        ("de", "stelle einen Timer auf fünf Minuten", [("HassStartTimer", {"minutes": 5})]),
        ("fr", "allume la lumière de la cuisine", [("HassTurnOn", {"name": "Lumière de la cuisine"})]),
        (
            "fr",
            "éteins la télé et allume la lampe de bureau",
            [("HassTurnOff", {"name": "télé"}), ("HassTurnOn", {"name": "Lampe de bureau"})],
        ),
        ("es", "enciende la luz de la cocina", [("HassTurnOn", {"name": "Luz de la cocina"})]),
        ("nl", "zet de keukenlamp aan", [("HassTurnOn", {"name": "Keukenlamp"})]),
        (
            "nl",
            "doe de tv uit en de keukenlamp aan",
            [("HassTurnOff", {"name": "TV"}), ("HassTurnOn", {"name": "Keukenlamp"})],
        ),
        ("nb", "sett en timer på fem minutter", [("HassStartTimer", {"minutes": 5})]),
    ],
)
def test_other_languages(language, text, commands):
    assert found(Recogniser(builtin_home(language)).recognise(text)) == commands


@pytest.mark.parametrize("language", get_languages())
def test_every_language_of_the_package_loads(language):
    home = Home.from_json({**HOME.to_json(), "language": language})

    assert Recogniser(home).recognise("qwertz uiop") == ()


def test_an_unknown_language_recognises_nothing():
    assert Recogniser(Home(language="tlh")).recognise("turn on the kitchen light") == ()


@pytest.mark.parametrize(
    ("tag", "language"),
    [
        ("en-US", "en"),
        ("en_GB", "en"),
        ("de-CH", "de-CH"),
        ("de-AT", "de"),
        ("pt-br", "pt-BR"),
        ("no", "nb"),
        ("zh-Hant-HK", "zh-TW"),
        ("sr-latn", "sr-Latn"),
        ("tlh", None),
        ("../en", None),
        ("", None),
    ],
)
def test_the_nearest_language_is_found(tag, language):
    assert find_language(tag) == language


def test_names_are_heard_in_the_words_of_the_language():
    assert spoken_forms("Lampe 2", "de") == ("Lampe 2", "Lampe zwei")
    assert spoken_forms("Room two", "en-US") == ("Room two", "Room 2")
    assert spoken_forms("Küchen-Licht", "de") == ("Küchen-Licht", "Küchen Licht", "KüchenLicht")
    assert spoken_forms("Kid’s lamp!", "en") == ("Kid’s lamp", "Kids lamp")
    assert spoken_forms("?!", "en") == ()


@pytest.mark.parametrize(
    ("text", "answer"),
    [
        ("turn on the kitchen light", "Turned on the light"),
        ("turn on the lights upstairs", "Turned on the lights"),
        ("set a timer for one hour", "Timer set for one hour"),
        ("set a timer for 1 hour", "Timer set for 1 hour"),
        ("what time is it", "7:05 PM"),
        ("what is the date", "March 1st, 2026"),
        ("add {{ 1 + 1 }} to my shopping list", "Added {{ 1 + 1 }}"),
        ("is the front door locked", None),
        ("how much time is left on my timer", None),
    ],
)
def test_an_answer_is_said_if_no_state_is_needed(recogniser, text, answer):
    (command,) = recogniser.recognise(text)

    assert render_response(command, now=datetime(2026, 3, 1, 19, 5).astimezone()) == answer


def test_an_answer_about_a_thing_of_unknown_kind_leaves_it_out(recogniser):
    (command,) = recogniser.recognise("turn on the kitchen light")
    bare = Command(intent=command.intent, slots=command.slots, response=command.response)

    assert render_response(bare) == "Turned on"


@pytest.mark.parametrize(
    "response", [None, "{{ 1 / 0 }}", "{{ unclosed", "{{ ''.__class__.__mro__ }}", "{{ x.y }}", ""]
)
def test_a_response_that_cannot_be_said_is_not(response):
    assert render_response(Command(intent="HassTurnOn", slots={}, response=response)) is None


def test_home_assistant_is_told_how_to_speak_of_one_hour(recogniser):
    (plain,) = recogniser.recognise("set a timer for 1 hour")
    (light,) = recogniser.recognise("turn on the kitchen light")

    assert settle_response(plain).response == "Timer set for 1 hour"
    assert settle_response(light) is light


def test_what_somebody_said_never_becomes_a_template(recogniser):
    (command,) = recogniser.recognise("set a 5 minute timer called {{ states('lock.front') }}")

    assert command.slots["name"] == "{{ states('lock.front') }}"
    assert settle_response(command) is command


WORDS = st.lists(st.sampled_from("turn on off the light and a timer for 5 play % .".split()))  # noqa: SIM905


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=400) | WORDS.map(" ".join))
@example("\x00")
@example("\ud800")
@example("turn on the kitchen light and " * 10)
@example("add " * 70)
@example("a" * (MAX_CHARACTERS + 1))
@example("-_" * 150)
def test_any_text_is_read_in_bounded_time(recogniser, text):
    started = time.perf_counter()

    commands = recogniser.recognise(text, area="kitchen")

    assert all(isinstance(command, Command) for command in commands)
    assert time.perf_counter() - started < 5


def test_threads_share_a_recogniser(recogniser):
    heard = []

    def ask():
        heard.extend(found(recogniser.recognise("turn on spot two")) for _ in range(10))

    threads = [threading.Thread(target=ask) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert heard == [[("HassTurnOn", {"name": "Spot 2"})]] * 40
