"""What the self-check says is a command in every language there are commands in."""

import pytest
from home_assistant_intents import get_languages

from wyoming_servers.hub.router import Router
from wyoming_servers.hub.sentence import check_sentences
from wyoming_servers.intents.home import Home, builtin_home


@pytest.mark.parametrize("language", ["de", "en", "es", "fr", "ja", "nl", "pt-BR", "zh-CN"])
async def test_sentences_are_commands_of_the_home(language):
    assert language in get_languages()
    router = Router(builtin_home(language))
    sentences = await check_sentences(router)
    assert 1 <= len(sentences) <= 3
    assert len(set(sentences)) == len(sentences)
    for sentence in sentences:
        assert await router.route(sentence)


async def test_sentence_names_the_first_light():
    home = Home.from_json({"language": "en", "entities": [{"entity_id": "light.moon", "name": "Moon lamp"}]})
    assert (await check_sentences(Router(home)))[0] == "turn on the Moon lamp"


@pytest.mark.parametrize("language", ["en", "tlh"])
async def test_there_is_a_sentence_also_for_an_empty_home_and_an_unknown_language(language):
    assert (await check_sentences(Router(Home(language=language))))[0]
