"""The hub over HTTP: who may ask, what is shown, and how a home is taken."""

import asyncio
import io
import json
import stat

import aiohttp
import pytest
from prometheus_client.parser import text_string_to_metric_families

from tests.support.eventually import until
from tests.support.hub_process import HubProcess
from tests.support.wyoming_client import ask, said
from wyoming_servers.intents.home import Home

HOME = {
    "language": "en",
    "areas": [{"id": "attic", "name": "Attic"}],
    "entities": [{"entity_id": "light.moon", "name": "Moon lamp", "domain": "light", "area": "attic"}],
}


@pytest.fixture(scope="module")
def data_dir(tmp_path_factory):
    return tmp_path_factory.mktemp("data")


@pytest.fixture(scope="module")
def hub(data_dir):
    hub = HubProcess(data_dir, HEARTH_STT_ENGINE="scripted", HEARTH_SCRIPT_STT="turn on the kitchen light")
    try:
        hub.start()
        yield hub
    finally:
        hub.stop()


@pytest.fixture
async def session():
    async with aiohttp.ClientSession() as session:
        yield session


async def test_health_is_fine_when_every_worker_is(hub, session):
    async with session.get(hub.http + "/health") as response:
        health = await response.json()
    assert response.status == 200
    assert health["status"] == "ok"
    assert {task: worker["state"] for task, worker in health["workers"].items()} == {
        "vad": "ready",
        "stt": "ready",
        "tts": "ready",
        "llm": "absent",
    }


async def test_status_shows_what_runs(hub, session):
    async with session.get(hub.http + "/api/v1/status") as response:
        status = await response.json()
    assert status["self_check"]["state"] == "passed"
    assert set(status["self_check"]["timings_ms"]) == {"tts", "vad", "stt", "route", "reply"}
    tts = status["workers"]["tts"]
    assert (tts["engine"], tts["is_starter"], tts["state"]) == ("espeak", True, "ready")
    assert tts["rss_bytes"] > 1_000_000
    assert status["rss_bytes"] < 120_000_000


async def test_metrics_count_requests_and_show_workers(hub, session):
    await ask(hub.uri, said("turn on the kitchen light"), "intent")
    async with session.get(hub.http + "/metrics") as response:
        families = {family.name: family for family in text_string_to_metric_families(await response.text())}
    samples = {
        (sample.name, *sorted(sample.labels.values())): sample.value
        for family in families.values()
        for sample in family.samples
    }
    assert samples["hearth_worker_up", "stt"] == 1
    assert samples["hearth_worker_rss_bytes", "stt"] > 1_000_000
    assert samples["hearth_requests_total", "ok", "router"] >= 1
    assert samples["hearth_stage_seconds_count", "route"] >= 1


async def test_pushed_home_is_kept_and_used(hub, session, data_dir):
    async with session.put(hub.http + "/api/v1/home", json=HOME) as response:
        assert response.status == 200
        version = (await response.json())["version"]
    assert version == Home.from_json(HOME).version
    path = data_dir / "home.json"
    assert Home.from_json(json.loads(path.read_text())) == Home.from_json(HOME)
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    assert not list(data_dir.glob(".home.json-*"))
    async with session.get(hub.http + "/api/v1/home") as response:
        assert Home.from_json(await response.json()) == Home.from_json(HOME)
        etag = response.headers["ETag"]
    async with session.get(hub.http + "/api/v1/home", headers={"If-None-Match": etag}) as response:
        assert response.status == 304
    await until(lambda: commands(session, hub, "turn on the moon lamp"))
    found = await commands(session, hub, "turn on the moon lamp")
    assert found[0]["intent"] == "HassTurnOn"
    assert found[0]["slots"]["name"] == "Moon lamp"


async def commands(session, hub, text):
    async with session.get(hub.http + "/api/v1/route", params={"text": text}) as response:
        return (await response.json())["commands"]


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        (b"", 400, "bad-json"),
        (b"\xff\xfe", 400, "bad-json"),
        (b"[" * 100_000, 400, "bad-json"),
        (b"null", 400, "bad-home"),
        (b"[]", 400, "bad-home"),
        (b"{}", 400, "bad-home"),
        (b'{"language": "../etc"}', 400, "bad-home"),
        (b'{"language": "en", "entities": [{"entity_id": "light.x", "name": "x", "area": "none"}]}', 400, "bad-home"),
        (b'{"language": "en", "states": {"light.x": "on"}}', 400, "bad-home"),
        (b" " * (2 * 1024 * 1024 + 1), 413, "too-large"),
    ],
    ids=["empty", "bytes", "nested", "null", "list", "no-language", "path", "no-such-area", "states", "too-large"],
)
async def test_home_that_cannot_be_used_is_refused_and_changes_nothing(hub, session, body, status, code):
    async with session.get(hub.http + "/api/v1/home") as response:
        before = response.headers["ETag"]
    async with session.put(hub.http + "/api/v1/home", data=io.BytesIO(body)) as response:
        problem = await response.json()
    assert (response.status, problem["code"]) == (status, code)
    assert set(problem) == {"code", "text"}
    assert "Traceback" not in problem["text"]
    async with session.get(hub.http + "/api/v1/home") as response:
        assert response.headers["ETag"] == before


@pytest.mark.parametrize(
    "host", ["evil.example", "evil.example:10780", "169.254.1.1", "[::2]", "", "localhost.evil.example"]
)
async def test_other_host_names_are_refused(hub, session, host):
    async with session.get(hub.http + "/api/v1/status", headers={"Host": host}) as response:
        assert response.status == 403
        assert (await response.json())["code"] == "bad-host"


@pytest.mark.parametrize("host", ["localhost", "127.0.0.1:9", "[::1]:80"])
async def test_names_of_this_machine_are_fine(hub, session, host):
    async with session.get(hub.http + "/health", headers={"Host": host}) as response:
        assert response.status == 200


@pytest.mark.parametrize(
    "headers", [{"Origin": "http://evil.example"}, {"Origin": "null"}, {"Sec-Fetch-Site": "cross-site"}]
)
async def test_pages_from_elsewhere_change_nothing(hub, session, headers):
    async with session.put(hub.http + "/api/v1/home", json=HOME, headers=headers) as response:
        assert response.status == 403
        assert (await response.json())["code"] == "cross-origin"


@pytest.mark.parametrize(("method", "path", "status"), [("GET", "/nothing", 404), ("DELETE", "/api/v1/home", 405)])
async def test_what_is_not_there_is_said_in_json(hub, session, method, path, status):
    async with session.request(method, hub.http + path) as response:
        assert response.status == status
        assert set(await response.json()) == {"code", "text"}


@pytest.mark.parametrize("text", [None, "a" * 8_001])
async def test_route_refuses_text_it_cannot_use(hub, session, text):
    async with session.get(hub.http + "/api/v1/route", params={"text": text} if text else {}) as response:
        assert (response.status, (await response.json())["code"]) == (400, "bad-text")


async def test_open_address_asks_for_the_token(tmp_path, session):
    environ = {"HEARTH_HUB_HTTP_HOST": "0.0.0.0", "HEARTH_STT_ENGINE": "none", "HEARTH_VAD_ENGINE": "none"}
    hub = await asyncio.to_thread(lambda: HubProcess(tmp_path, **environ, HEARTH_TTS_ENGINE="none"))
    try:
        await asyncio.to_thread(hub.launch)
        path = tmp_path / "token"
        await until(lambda: asyncio.to_thread(lambda: "HTTP at" in hub.log_text()))
        async with session.get(hub.http + "/health") as response:
            assert response.status == 401
        token = path.read_text().strip()
        assert len(token) >= 32
        assert stat.S_IMODE(path.stat().st_mode) == 0o600
        assert token not in hub.log_text()
        for given in ("", f"Bearer {token}x", f"Basic {token}", token):
            async with session.get(hub.http + "/api/v1/home", headers={"Authorization": given}) as response:
                assert response.status == 401
        headers = {"Authorization": f"Bearer {token}", "Host": "hearth.home"}
        async with session.get(hub.http + "/api/v1/home", headers=headers) as response:
            assert response.status == 200
    finally:
        await asyncio.to_thread(hub.stop)
