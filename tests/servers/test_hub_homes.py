"""Which home counts, how it is kept, and when the starter's language model is built anew."""

import asyncio
import json

import psutil
import pytest

from wyoming_servers.errors import HearthError, RequestError, SettingsError
from wyoming_servers.hub.homes import Homes, Source, keep_home, load_home
from wyoming_servers.hub.router import Router
from wyoming_servers.intents.home import Home, builtin_home
from wyoming_servers.models.files import write_atomically
from wyoming_servers.settings import Settings

WRITTEN = {"areas": [{"id": "barn", "name": "Barn"}]}
PUSHED = {"language": "en", "areas": [{"id": "attic", "name": "Attic"}]}


def homes_of(settings: Settings) -> Homes:
    home, source = load_home(settings)
    return Homes(settings, Router(home), home, source, trains=False)


def test_without_any_home_the_built_in_one_counts(tmp_path):
    assert load_home(Settings(data_dir=tmp_path)) == (builtin_home("en"), Source.BUILTIN)


async def test_home_of_the_settings_is_kept_for_other_processes(tmp_path):
    homes = homes_of(Settings(data_dir=tmp_path, home=WRITTEN))
    await homes.start()
    assert homes.source is Source.SETTINGS
    assert Home.from_json(json.loads((tmp_path / "home.json").read_text())) == homes.home


async def test_change_in_the_settings_counts_at_the_next_start(tmp_path):
    await homes_of(Settings(data_dir=tmp_path, home=WRITTEN)).start()
    changed = {"areas": [{"id": "shed", "name": "Shed"}]}
    homes = homes_of(Settings(data_dir=tmp_path, home=changed))
    await homes.start()
    assert homes.home.areas[0].name == "Shed"
    assert "Shed" in (tmp_path / "home.json").read_text()


async def test_home_taken_out_of_the_settings_is_forgotten(tmp_path):
    await homes_of(Settings(data_dir=tmp_path, home=WRITTEN)).start()
    homes = homes_of(Settings(data_dir=tmp_path))
    await homes.start()
    assert homes.source is Source.BUILTIN
    assert not (tmp_path / "home.json").exists()


async def test_pushed_home_takes_the_place_of_the_one_in_the_settings(tmp_path):
    settings = Settings(data_dir=tmp_path, home=WRITTEN)
    homes = homes_of(settings)
    await homes.start()
    await homes.put(PUSHED)
    home, source = load_home(settings)
    assert (home.areas[0].name, source) == ("Attic", Source.PUSHED)


def test_wrong_home_in_the_settings_is_refused(tmp_path):
    with pytest.raises(SettingsError, match=r"\[home\]: .*areas"):
        load_home(Settings(data_dir=tmp_path, home={"areas": 5}))


@pytest.mark.parametrize("content", ["", "{", "[]", '{"language": "../"}', "[" * 100_000])
def test_damaged_file_is_not_used(tmp_path, content):
    (tmp_path / "home.json").write_text(content)
    assert load_home(Settings(data_dir=tmp_path))[1] is Source.BUILTIN


async def test_home_that_is_refused_leaves_everything_as_it_was(tmp_path):
    homes = homes_of(Settings(data_dir=tmp_path))
    await homes.put(PUSHED)
    before = (tmp_path / "home.json").read_bytes()
    with pytest.raises(RequestError):
        await homes.put({"language": "en", "areas": [{"id": "x"}]})
    assert (tmp_path / "home.json").read_bytes() == before
    assert homes.home == Home.from_json(PUSHED)


async def test_home_that_cannot_be_written_is_not_taken(tmp_path):
    (tmp_path / "file").write_text("in the way")
    homes = homes_of(Settings(data_dir=tmp_path / "file" / "data"))
    with pytest.raises(HearthError, match="cannot be written"):
        await homes.put(PUSHED)
    assert homes.source is Source.BUILTIN


def test_failed_write_leaves_the_old_file_and_no_other(tmp_path):
    path = tmp_path / "home.json"
    write_atomically(path, "old")
    with pytest.raises(UnicodeEncodeError):
        write_atomically(path, "half \ud800")
    assert path.read_text() == "old"
    assert list(tmp_path.iterdir()) == [path]


def test_only_we_may_read_a_home(tmp_path):
    keep_home(tmp_path, Home.from_json(PUSHED), Source.PUSHED)
    assert (tmp_path / "home.json").stat().st_mode & 0o077 == 0


async def test_builder_that_fails_is_shown(tmp_path):
    (tmp_path / "starter").write_text("in the way of the builder")
    home, source = load_home(Settings(data_dir=tmp_path))
    homes = Homes(Settings(data_dir=tmp_path), Router(home), home, source, trains=True)
    await homes.put(PUSHED)
    assert homes.training["state"] == "running"
    await homes.wait_trained()
    assert homes.training["state"] == "failed"
    assert homes.training["home"] == Home.from_json(PUSHED).version
    assert homes.training["error"]


async def test_model_of_the_latest_home_is_built_and_only_once_at_a_time(tmp_path):
    home, source = load_home(Settings(data_dir=tmp_path))
    homes = Homes(Settings(data_dir=tmp_path), Router(home), home, source, trains=True)
    for name in ("Attic", "Cellar", "Porch"):
        latest = await homes.put({"language": "en", "areas": [{"id": "x", "name": name}]})
    assert homes.training["state"] == "running"
    await homes.wait_trained()
    assert homes.training["state"] == "done", homes.training
    assert homes.training["home"] == latest.version
    assert latest.version in (tmp_path / "starter" / "current").read_text()
    assert len([one for one in (tmp_path / "starter").iterdir() if one.is_dir()]) <= 2


async def test_model_that_is_of_the_home_is_not_built_again(tmp_path):
    home, source = load_home(Settings(data_dir=tmp_path))
    (tmp_path / "starter").mkdir()
    (tmp_path / "starter" / "current").write_text(home.version)
    homes = Homes(Settings(data_dir=tmp_path), Router(home), home, source, trains=True)
    await homes.start()
    assert homes.training["state"] == "idle"


async def test_builder_ends_with_the_hub(tmp_path):
    home, source = load_home(Settings(data_dir=tmp_path))
    homes = Homes(Settings(data_dir=tmp_path), Router(home), home, source, trains=True)
    homes.train()
    await asyncio.sleep(0.2)
    await homes.stop()
    assert not [one for one in psutil.Process().children() if one.status() != psutil.STATUS_ZOMBIE]
