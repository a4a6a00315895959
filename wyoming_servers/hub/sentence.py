"""What the self-check says: a plain command for something the home has."""

import asyncio
import itertools
from collections.abc import Iterator

from wyoming_servers.errors import RequestError
from wyoming_servers.hub.router import Router
from wyoming_servers.intents.home import Home
from wyoming_servers.intents.sampling import build_graph, sample_sentences

_TURN_ON = {
    "de": "schalte {} ein",
    "en": "turn on the {}",
    "es": "enciende {}",
    "fr": "allume {}",
    "it": "accendi {}",
    "nl": "zet {} aan",
    "pl": "włącz {}",
    "pt": "liga {}",
    "sv": "tänd {}",
}
_SWITCHED = ("light", "switch", "fan")
_MOST_TRIED = 200


async def check_sentence(router: Router) -> str:
    """Return a sentence the router takes as a command; if there is none, one it does not know."""
    home = router.home
    sentences = await asyncio.to_thread(lambda: list(itertools.islice(_candidates(home), _MOST_TRIED)))
    for sentence in sentences:
        if await router.route(sentence, language=home.language, device_id=None):
            return sentence
    return sentences[0] if sentences else "turn on the light"


def _candidates(home: Home) -> Iterator[str]:
    template = _TURN_ON.get(home.language.split("-", maxsplit=1)[0].lower())
    for domain in _SWITCHED if template else ():
        names = [entity.name for entity in home.entities if entity.domain == domain]
        yield from (template.format(name) for name in names[:3] if template)
    try:
        graph = build_graph(home.language, {}, has_areas=False, has_floors=False)
    except RequestError:
        return
    yield from (" ".join(words) for words in sample_sentences(graph, count=1_000) if "{" not in "".join(words))
