"""The home: what is exposed to voice. Names only, never states.

The integration pushes it, `hearth.toml` may write it, and where neither does `builtin_home` stands in with rooms
and devices most homes have. It arrives from outside, so every field is checked and every count is bounded.
"""

import hashlib
import json
import re
from collections.abc import Callable, Iterable, Mapping
from dataclasses import asdict, dataclass
from functools import cached_property
from importlib import resources
from typing import Any, TypeVar

from wyoming_servers.errors import RequestError
from wyoming_servers.speech.text import clean_text, has_words

MAX_NAME_CHARACTERS = 200
MAX_ID_CHARACTERS = 255
MAX_FLOORS = 100
MAX_AREAS = 1_000
MAX_ENTITIES = 5_000
MAX_SATELLITES = 1_000
MAX_ALIASES = 50
MAX_NAMES = 20_000
"""Names and aliases of everything together: each is one more thing to listen for."""

_LANGUAGE = re.compile(r"[A-Za-z]{2,3}([-_][A-Za-z0-9]{1,8}){0,3}")
_ENTITY_ID = re.compile(r"[a-z0-9_]+\.[a-z0-9_]+")
_DOMAIN = re.compile(r"[a-z0-9_]+")
_T = TypeVar("_T")


@dataclass(frozen=True, slots=True, kw_only=True)
class Floor:
    """One floor."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class Area:
    """One room, garden or other area."""

    id: str
    name: str
    aliases: tuple[str, ...] = ()
    floor: str | None = None
    """Id of its floor."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Entity:
    """One thing that can be asked about or switched."""

    entity_id: str
    name: str
    aliases: tuple[str, ...] = ()
    domain: str
    device_class: str | None = None
    area: str | None = None
    """Id of its area."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Satellite:
    """A device that listens, and where it stands."""

    device_id: str
    area: str | None = None
    """Id of its area."""


@dataclass(frozen=True, kw_only=True)
class Home:
    """Everything exposed to voice, in the order it was given."""

    language: str
    floors: tuple[Floor, ...] = ()
    areas: tuple[Area, ...] = ()
    entities: tuple[Entity, ...] = ()
    satellites: tuple[Satellite, ...] = ()

    @classmethod
    def from_json(cls, data: object) -> "Home":
        """Check and take a home; raises RequestError("bad-home") with a sentence that names the field."""
        fields = _mapping(data, "The home")
        _only(fields, "The home", {"language", "floors", "areas", "entities", "satellites"})
        language = _text(fields, "", "language", limit=35)
        if not _LANGUAGE.fullmatch(language):
            raise _bad("'language' must be a language tag such as en or pt-BR.")
        home = cls(
            language=language.replace("_", "-"),
            floors=_list(fields, "floors", MAX_FLOORS, _floor),
            areas=_list(fields, "areas", MAX_AREAS, _area),
            entities=_list(fields, "entities", MAX_ENTITIES, _entity),
            satellites=_list(fields, "satellites", MAX_SATELLITES, _satellite),
        )
        _check_whole(home)
        return home

    def to_json(self) -> dict[str, Any]:
        """Return what `from_json` takes back to an equal home."""
        plain: dict[str, Any] = json.loads(json.dumps(asdict(self)))
        return plain

    @cached_property
    def version(self) -> str:
        """16 hexadecimal digits that stay the same while the content does, whatever its order."""
        plain = self.to_json()
        for key, items in plain.items():
            if isinstance(items, list):
                for item in items:
                    item.get("aliases", []).sort()
                items.sort(key=lambda item: json.dumps(item, sort_keys=True))
                plain[key] = items
        packed = json.dumps(plain, sort_keys=True, ensure_ascii=False, separators=(",", ":"))
        return hashlib.sha256(packed.encode()).hexdigest()[:16]

    @property
    def names(self) -> tuple[str, ...]:
        """Every name and alias there is."""
        named: tuple[Floor | Area | Entity, ...] = (*self.floors, *self.areas, *self.entities)
        return tuple(name for one in named for name in (one.name, *one.aliases))

    def area_of(self, device_id: str | None) -> Area | None:
        """Return the area a satellite stands in, None if the satellite or its area is not known."""
        area_id = next((one.area for one in self.satellites if one.device_id == device_id), None)
        return next((area for area in self.areas if area.id == area_id), None)


def builtin_home(language: str) -> Home:
    """Return common rooms and devices, named in `language` where we have them, otherwise a home without names."""
    homes = json.loads(resources.files(__package__).joinpath("builtin_homes.json").read_text("utf-8"))
    names = homes.get(language.replace("_", "-").split("-", maxsplit=1)[0].lower(), {})
    areas = [{"id": area_id, "name": area["name"], "aliases": area["aliases"]} for area_id, area in _areas(names)]
    entities = [
        {**entity, "domain": entity["entity_id"].split(".", maxsplit=1)[0]} for entity in names.get("entities", [])
    ]
    return Home.from_json({"language": language, "areas": areas, "entities": entities})


def _areas(names: Mapping[str, Any]) -> Iterable[tuple[str, dict[str, Any]]]:
    for area_id, spoken in names.get("areas", {}).items():
        name, *aliases = spoken
        yield area_id, {"name": name, "aliases": aliases}


def _bad(sentence: str) -> RequestError:
    return RequestError("bad-home", sentence)


def _floor(item: Mapping[str, Any], where: str) -> Floor:
    _only(item, where, {"id", "name", "aliases"})
    return Floor(id=_id(item, where, "id"), name=_text(item, where, "name"), aliases=_aliases(item, where))


def _area(item: Mapping[str, Any], where: str) -> Area:
    _only(item, where, {"id", "name", "aliases", "floor"})
    return Area(
        id=_id(item, where, "id"),
        name=_text(item, where, "name"),
        aliases=_aliases(item, where),
        floor=_id(item, where, "floor") if item.get("floor") is not None else None,
    )


def _entity(item: Mapping[str, Any], where: str) -> Entity:
    _only(item, where, {"entity_id", "name", "aliases", "domain", "device_class", "area"})
    entity_id = _id(item, where, "entity_id")
    if not _ENTITY_ID.fullmatch(entity_id):
        raise _bad(f"'{where}.entity_id' must look like light.kitchen.")
    domain = entity_id.split(".", maxsplit=1)[0]
    if item.get("domain", domain) != domain:
        raise _bad(f"'{where}.domain' must be the first part of its entity_id.")
    device_class = item.get("device_class")
    if device_class is not None and not (isinstance(device_class, str) and _DOMAIN.fullmatch(device_class[:65])):
        raise _bad(f"'{where}.device_class' must be a word such as curtain, or null.")
    return Entity(
        entity_id=entity_id,
        name=_text(item, where, "name"),
        aliases=_aliases(item, where),
        domain=domain,
        device_class=device_class,
        area=_id(item, where, "area") if item.get("area") is not None else None,
    )


def _satellite(item: Mapping[str, Any], where: str) -> Satellite:
    _only(item, where, {"device_id", "area"})
    return Satellite(
        device_id=_id(item, where, "device_id"),
        area=_id(item, where, "area") if item.get("area") is not None else None,
    )


def _check_whole(home: Home) -> None:
    floors = _unique((floor.id for floor in home.floors), "floors")
    areas = _unique((area.id for area in home.areas), "areas")
    _unique((entity.entity_id for entity in home.entities), "entities")
    _unique((satellite.device_id for satellite in home.satellites), "satellites")
    for number, area in enumerate(home.areas):
        if area.floor is not None and area.floor not in floors:
            raise _bad(f"'areas[{number}].floor' is not the id of a floor in 'floors'.")
    placed = [(f"entities[{number}]", entity.area) for number, entity in enumerate(home.entities)]
    placed += [(f"satellites[{number}]", satellite.area) for number, satellite in enumerate(home.satellites)]
    for where, area_id in placed:
        if area_id is not None and area_id not in areas:
            raise _bad(f"'{where}.area' is not the id of an area in 'areas'.")
    if len(home.names) > MAX_NAMES:
        raise _bad(f"The home has more than {MAX_NAMES} names and aliases.")


def _unique(ids: Iterable[str], key: str) -> set[str]:
    seen: set[str] = set()
    for number, one in enumerate(ids):
        if one in seen:
            raise _bad(f"'{key}[{number}]' has an id that stands in '{key}' before it.")
        seen.add(one)
    return seen


def _mapping(value: object, what: str) -> Mapping[str, Any]:
    if not isinstance(value, Mapping):
        raise _bad(f"{what} must be an object of names and values.")
    return value


def _only(item: Mapping[str, Any], where: str, known: set[str]) -> None:
    if not known.issuperset(item):
        what = where if where == "The home" else f"'{where}'"
        raise _bad(f"{what} has a field that is not one of: {', '.join(sorted(known))}.")


def _list(
    fields: Mapping[str, Any], key: str, limit: int, parse: Callable[[Mapping[str, Any], str], _T]
) -> tuple[_T, ...]:
    items = fields.get(key, [])
    if not isinstance(items, list | tuple):
        raise _bad(f"'{key}' must be a list.")
    if len(items) > limit:
        raise _bad(f"'{key}' has {len(items)} entries; the limit is {limit}.")
    return tuple(parse(_mapping(item, f"'{key}[{number}]'"), f"{key}[{number}]") for number, item in enumerate(items))


def _id(item: Mapping[str, Any], where: str, key: str) -> str:
    return _text(item, where, key, limit=MAX_ID_CHARACTERS)


def _text(item: Mapping[str, Any], where: str, key: str, *, limit: int = MAX_NAME_CHARACTERS) -> str:
    path = f"{where}.{key}" if where else key
    text = _clean(item.get(key), path, limit)
    if not text:
        raise _bad(f"'{path}' must not be empty.")
    return text


def _aliases(item: Mapping[str, Any], where: str) -> tuple[str, ...]:
    aliases = item.get("aliases", [])
    if not isinstance(aliases, list | tuple):
        raise _bad(f"'{where}.aliases' must be a list.")
    if len(aliases) > MAX_ALIASES:
        raise _bad(f"'{where}.aliases' has {len(aliases)} entries; the limit is {MAX_ALIASES}.")
    cleaned = (_clean(alias, f"{where}.aliases[{number}]", MAX_NAME_CHARACTERS) for number, alias in enumerate(aliases))
    return tuple(dict.fromkeys(alias for alias in cleaned if alias))


def _clean(value: object, path: str, limit: int) -> str:
    """Return the text on one line with single spaces; empty if nothing in it can be said."""
    try:
        text = " ".join(clean_text(value, limit=limit).split())
    except RequestError as error:
        raise _bad(f"'{path}' cannot be used. {error}") from None
    return text if has_words(text) else ""
