"""A Home Assistant and the Hearth behind it."""

from dataclasses import dataclass

from tests.support.home_assistant import HomeAssistant
from tests.support.hub_process import HubProcess


@dataclass(frozen=True, slots=True, kw_only=True)
class Household:
    """A Home Assistant set up as a person would, with Hearth behind its Wyoming integration."""

    home_assistant: HomeAssistant
    hub: HubProcess
    token: str
    pipeline: str
    entities: dict[str, str]
