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
_MOST_SAID = 3
"""One synthetic voice saying one name is a matter of luck for speech-to-text; three are not."""


async def check_sentences(router: Router) -> list[str]:
    """Return a few sentences the router takes as commands; if there is none, one it does not know."""
    home = router.home
    candidates = await asyncio.to_thread(lambda: list(dict.fromkeys(itertools.islice(_candidates(home), _MOST_TRIED))))
    found: list[str] = []
    for sentence in candidates:
        if len(found) < _MOST_SAID and await router.route(sentence, language=home.language, device_id=None):
            found.append(sentence)
    return found or candidates[:1] or ["turn on the light"]


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
