"""What a home may be, and what is refused."""

import json

import pytest
from hypothesis import given, settings, strategies as st

from wyoming_servers.errors import RequestError
from wyoming_servers.intents.home import (
    MAX_ALIASES,
    MAX_AREAS,
    MAX_ENTITIES,
    MAX_FLOORS,
    MAX_NAME_CHARACTERS,
    MAX_SATELLITES,
    Area,
    Entity,
    Home,
    builtin_home,
)

HOME = {
    "language": "en",
    "floors": [{"id": "ground", "name": "Ground floor", "aliases": ["downstairs"]}],
    "areas": [{"id": "kitchen", "name": "Kitchen", "aliases": [], "floor": "ground"}, {"id": "hall", "name": "Hall"}],
    "entities": [
        {
            "entity_id": "light.kitchen",
            "name": "Kitchen light",
            "aliases": ["cooker light", "hob light"],
            "domain": "light",
            "device_class": None,
            "area": "kitchen",
        },
        {"entity_id": "cover.blind", "name": "Blind", "device_class": "blind"},
    ],
    "satellites": [{"device_id": "abc", "area": "kitchen"}, {"device_id": "lost"}],
}


def changed(**fields):
    return {**HOME, **fields}


def entity(**fields):
    return changed(entities=[{"entity_id": "light.lamp", "name": "Lamp", **fields}])


def test_a_home_is_taken_as_written():
    home = Home.from_json(HOME)

    assert home.areas[0] == Area(id="kitchen", name="Kitchen", floor="ground")
    assert home.entities[1] == Entity(entity_id="cover.blind", name="Blind", domain="cover", device_class="blind")
    assert home.area_of("abc") == home.areas[0]
    assert home.area_of("lost") is None
    assert home.area_of("unheard-of") is None
    assert home.area_of(None) is None


def test_a_home_survives_json():
    home = Home.from_json(HOME)

    assert Home.from_json(json.loads(json.dumps(home.to_json()))) == home


def test_the_version_ignores_order_and_whitespace():
    shuffled = changed(
        areas=HOME["areas"][::-1],
        entities=[
            {**HOME["entities"][1], "name": "  Blind\n"},
            {**HOME["entities"][0], "aliases": ["hob  light", "cooker light"]},
        ],
        satellites=HOME["satellites"][::-1],
    )

    assert Home.from_json(shuffled).version == Home.from_json(HOME).version
    assert len(Home.from_json(HOME).version) == 16


@pytest.mark.parametrize(
    "other",
    [
        changed(language="de"),
        changed(satellites=[]),
        changed(areas=[{"id": "kitchen", "name": "Cuisine"}, {"id": "hall", "name": "Hall"}]),
        entity(),
    ],
)
def test_the_version_changes_with_the_content(other):
    assert Home.from_json(other).version != Home.from_json(HOME).version


def test_names_lose_what_nobody_can_see():
    home = Home.from_json(entity(name="Bed\x00room\u200b\t lamp\n", aliases=["\x07", "…", "Lamp", " Lamp "]))

    assert home.entities[0].name == "Bedroom lamp"
    assert home.entities[0].aliases == ("Lamp",)


@pytest.mark.parametrize("language", ["en", "EN", "pt-BR", "zh_Hant_TW", "sr-Latn", "es-419"])
def test_language_tags_are_taken(language):
    assert Home.from_json({"language": language}).language == language.replace("_", "-")


@pytest.mark.parametrize(
    ("data", "field"),
    [
        ([], "home"),
        (None, "home"),
        ("home", "home"),
        ({}, "language"),
        ({"language": 5}, "language"),
        ({"language": "../en"}, "language"),
        ({"language": "e" * 5000}, "language"),
        (changed(rooms=[]), "one of: areas"),
        (changed(areas={}), "areas"),
        (changed(areas=None), "areas"),
        (changed(areas=["kitchen"]), "areas[0]"),
        (changed(areas=[{"name": "Kitchen"}]), "areas[0].id"),
        (changed(areas=[{"id": "a"}]), "areas[0].name"),
        (changed(areas=[{"id": "a", "name": "..."}]), "areas[0].name"),
        (changed(areas=[{"id": "a", "name": "A", "floor": "roof"}]), "areas[0].floor"),
        (changed(areas=[{"id": "a", "name": "A"}, {"id": "a", "name": "B"}]), "areas[1]"),
        (entity(name=""), "entities[0].name"),
        (entity(name=["Lamp"]), "entities[0].name"),
        (entity(name="x" * (MAX_NAME_CHARACTERS + 1)), "entities[0].name"),
        (entity(name="half \ud800"), "entities[0].name"),
        (entity(aliases="lamp"), "entities[0].aliases"),
        (entity(aliases=["lamp", 3]), "entities[0].aliases[1]"),
        (entity(aliases=["lamp"] * (MAX_ALIASES + 1)), "entities[0].aliases"),
        (entity(domain="switch"), "entities[0].domain"),
        (entity(entity_id="light"), "entities[0].entity_id"),
        (entity(entity_id="light.a/../b"), "entities[0].entity_id"),
        (entity(device_class=3), "entities[0].device_class"),
        (entity(device_class="Not A Class"), "entities[0].device_class"),
        (entity(area="attic"), "entities[0].area"),
        (entity(state="on"), "entities[0]"),
        (changed(satellites=[{"device_id": "a", "area": "attic"}]), "satellites[0].area"),
        (changed(satellites=[{"device_id": "a"}] * 2), "satellites[1]"),
        (changed(floors=[{"id": str(n), "name": "F"} for n in range(MAX_FLOORS + 1)]), "floors"),
        (changed(areas=[{"id": str(n), "name": "A"} for n in range(MAX_AREAS + 1)]), "areas"),
        (changed(entities=[{"entity_id": f"light.a{n}", "name": "A"} for n in range(MAX_ENTITIES + 1)]), "entities"),
        (changed(satellites=[{"device_id": str(n)} for n in range(MAX_SATELLITES + 1)]), "satellites"),
        (
            changed(
                entities=[
                    {"entity_id": f"light.a{n}", "name": "A", "aliases": [f"a{n} {m}" for m in range(MAX_ALIASES)]}
                    for n in range(500)
                ]
            ),
            "names",
        ),
    ],
)
def test_what_is_wrong_is_refused_with_its_field(data, field):
    with pytest.raises(RequestError) as refused:
        Home.from_json(data)

    assert refused.value.code == "bad-home"
    assert field in str(refused.value)
    assert len(str(refused.value)) < 300


@pytest.mark.parametrize("language", ["en", "de", "fr", "es", "nl"])
def test_the_built_in_home_names_rooms_and_devices(language):
    home = builtin_home(language)

    assert home.language == language
    assert len(home.areas) >= 10
    assert {"light", "lock", "media_player", "climate"} <= {entity.domain for entity in home.entities}


def test_the_built_in_home_serves_a_regional_tag():
    assert builtin_home("en-GB").entities == builtin_home("en").entities


def test_an_unknown_language_gets_a_home_without_names():
    assert builtin_home("pl").names == ()


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(st.characters(exclude_categories=[])),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
NAMED = st.fixed_dictionaries(
    {"id": st.text(max_size=3) | JSON, "name": st.text() | JSON},
    optional={"aliases": JSON, "floor": JSON, "area": JSON, "entity_id": st.just("light.a") | JSON, "domain": JSON},
)
LISTS = st.lists(NAMED, max_size=3) | JSON
NEARLY_HOMES = st.fixed_dictionaries(
    {"language": st.just("en") | JSON},
    optional={"floors": LISTS, "areas": LISTS, "entities": LISTS, "satellites": LISTS},
)


@settings(max_examples=200, deadline=None)
@given(JSON | NEARLY_HOMES)
def test_any_json_is_a_home_or_refused(data):
    try:
        home = Home.from_json(data)
    except RequestError as refused:
        assert refused.code == "bad-home"
    else:
        assert Home.from_json(home.to_json()) == home
        assert home.version
