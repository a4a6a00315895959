"""One hub with the starter engines, and one Home Assistant of each supported version that uses it."""

import asyncio
import os
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from tests.support.assist import Assist, onboard
from tests.support.home_assistant import HomeAssistant, environment_folder
from tests.support.household import Household
from tests.support.hub_process import HubProcess
from tests.support.speaker import Speaker

VERSIONS = tuple(sorted(path.stem for path in (Path(__file__).parent / "requirements").glob("*.txt")))
HOME = {
    "language": "en",
    "floors": [],
    "areas": [],
    "entities": [
        {"entity_id": "light.kitchen_light", "name": "Kitchen light", "aliases": [], "domain": "light"},
        {"entity_id": "light.office_light", "name": "Office light", "aliases": [], "domain": "light"},
    ],
    "satellites": [],
}


@pytest.fixture(scope="session")
def hub(tmp_path_factory: pytest.TempPathFactory) -> Iterator[HubProcess]:
    """A running hub with the starter engines, which knows the home."""
    hub = HubProcess(tmp_path_factory.mktemp("hub"))
    try:
        hub.start()
        hub.put_home(HOME)
        yield hub
    finally:
        hub.stop()


@pytest.fixture(scope="session", params=VERSIONS)
def household(
    request: pytest.FixtureRequest, hub: HubProcess, tmp_path_factory: pytest.TempPathFactory
) -> Iterator[Household]:
    """A running Home Assistant of each version."""
    version = request.param
    if os.environ.get("HEARTH_SKIP_HOME_ASSISTANT") == "1":
        pytest.skip("HEARTH_SKIP_HOME_ASSISTANT=1")
    if not (environment_folder(version) / "bin/hass").exists():
        pytest.fail(f"Home Assistant {version} is not installed: run script/setup.", pytrace=False)
    home_assistant = HomeAssistant(version, tmp_path_factory.mktemp(f"home-assistant-{version}"))
    try:
        home_assistant.wait_ready()
        yield asyncio.run(_move_in(home_assistant, hub))
    finally:
        home_assistant.stop()


async def _move_in(home_assistant: HomeAssistant, hub: HubProcess) -> Household:
    token = await onboard(home_assistant.url)
    async with Assist(home_assistant.url, token) as assist:
        entities = await assist.add_wyoming(hub.port)
        pipeline = await assist.make_pipeline(entities)
    return Household(home_assistant=home_assistant, hub=hub, token=token, pipeline=pipeline, entities=entities)


@pytest.fixture
async def assist(household: Household) -> AsyncIterator[Assist]:
    """A person in front of Home Assistant with both lights off; no log may show a fault afterwards."""
    log_before = len(household.home_assistant.log_text())
    async with Assist(household.home_assistant.url, household.token) as assist:
        for lamp in ("kitchen", "office"):
            await assist.post("/api/services/light/turn_off", {"entity_id": f"light.{lamp}_light"})
        yield assist
    assert "Traceback" not in household.home_assistant.log_text()[log_before:]
    assert "Traceback" not in household.hub.log_text()


@pytest.fixture(scope="session")
def say() -> Speaker:
    """The starter's voice, in the place of a person's."""
    return Speaker()
