"""Workers are kept up: planned, started, watched, started again, ended."""

import asyncio
import os
import signal
from contextlib import asynccontextmanager
from dataclasses import replace

import psutil
import pytest

from tests.support.eventually import until
from wyoming_servers.engines.table import TABLE, Task, find_row
from wyoming_servers.errors import RequestError, SettingsError
from wyoming_servers.hub.child import worker_environ
from wyoming_servers.hub.proxy import connect
from wyoming_servers.hub.supervisor import Supervisor, plan_worker
from wyoming_servers.hub.worker import Pace, State
from wyoming_servers.settings import TASKS, Settings, WorkerSettings, load_settings

QUICK = Pace(poll=0.05, check=0.1, answer=0.5, missed=3, first_pause=0.2, longest_pause=0.8, end=1.0)
NONE = WorkerSettings(engine="none")
ALONE = Settings(vad=NONE, stt=NONE, tts=NONE, llm=WorkerSettings(engine="scripted"))


@asynccontextmanager
async def supervised(settings: Settings, pace: Pace = QUICK):
    supervisor = Supervisor(settings, pace)
    supervisor.start()
    try:
        yield supervisor
    finally:
        await supervisor.stop()


async def is_ready(worker) -> bool:
    return worker.state is State.READY


async def test_worker_becomes_ready_and_says_what_it_is(tmp_path):
    async with supervised(replace(ALONE, data_dir=tmp_path)) as supervisor:
        worker = supervisor["llm"]
        assert worker.state is State.STARTING
        await supervisor.wait_settled(30)
        assert worker.state is State.READY
        assert worker.info is not None
        assert worker.info.handle
        assert (worker.rss_bytes or 0) > 1_000_000
        assert supervisor.is_healthy
        pid = worker.pid
    assert not psutil.pid_exists(pid)


async def test_worker_that_hangs_is_ended_and_started_again(tmp_path):
    async with supervised(replace(ALONE, data_dir=tmp_path)) as supervisor:
        worker = supervisor["llm"]
        await supervisor.wait_settled(30)
        hung = worker.pid
        os.kill(hung, signal.SIGSTOP)
        await until(lambda: asyncio.sleep(0, worker.restarts == 1))
        await until(lambda: is_ready(worker), 30)
        assert worker.pid != hung
        assert not psutil.pid_exists(hung)
        assert "did not answer" in worker.last_error


async def test_pauses_between_starts_grow_up_to_a_bound(tmp_path, caplog):
    settings = replace(ALONE, data_dir=tmp_path, llm=WorkerSettings(engine="openai"))
    async with supervised(settings) as supervisor:
        worker = supervisor["llm"]
        pauses = []
        for number in range(4):
            await until(lambda number=number: asyncio.sleep(0, worker.restarts == number and worker.next_start), 30)
            pauses.append(worker.next_start - worker.since)
            assert worker.state is State.FAILED
        assert not supervisor.is_healthy
    assert pauses[0] == pytest.approx(0.2, rel=0.25)
    assert pauses[1] == pytest.approx(0.4, rel=0.25)
    assert pauses[3] == pytest.approx(0.8, rel=0.25)
    assert "llm.url" in worker.last_error
    assert sum("llm.url" in record.message for record in caplog.records) == len(pauses)


async def test_health_makes_failures_forgotten(tmp_path):
    async with supervised(replace(ALONE, data_dir=tmp_path), replace(QUICK, healthy=0.0)) as supervisor:
        worker = supervisor["llm"]
        for number in range(3):
            await until(lambda: is_ready(worker), 30)
            os.kill(worker.pid, signal.SIGKILL)
            await until(lambda number=number: asyncio.sleep(0, worker.restarts == number and worker.next_start))
            assert worker.next_start - worker.since == pytest.approx(0.2, rel=0.25)


async def test_request_to_a_worker_that_is_starting_waits_for_it(tmp_path):
    async with supervised(replace(ALONE, data_dir=tmp_path)) as supervisor:
        client = await connect(supervisor["llm"])
        await client.__aexit__(None, None, None)


async def test_task_without_an_engine_is_not_set_up_and_no_failure(tmp_path):
    async with supervised(replace(ALONE, data_dir=tmp_path, llm=WorkerSettings())) as supervisor:
        assert supervisor["llm"].state is State.ABSENT
        assert supervisor.is_healthy
        with pytest.raises(RequestError) as refused:
            await connect(supervisor["llm"])
    assert refused.value.code == "not-set-up"


async def test_missing_extra_is_named_and_never_started(tmp_path, monkeypatch):
    row = replace(find_row(Task.LLM, "llama"), requires=("a_library_nobody_has",))
    monkeypatch.setitem(TABLE[Task.LLM], "llama", row)
    async with supervised(replace(ALONE, data_dir=tmp_path, llm=WorkerSettings(engine="llama"))) as supervisor:
        worker = supervisor["llm"]
        assert worker.state is State.FAILED
        assert "hearth-voice[llama]" in worker.last_error
        assert worker.pid is None
        with pytest.raises(RequestError) as refused:
            await connect(worker)
    assert refused.value.code == "not-installed"


def test_unknown_engine_is_refused_before_anything_starts(tmp_path):
    with pytest.raises(SettingsError, match="no tts engine 'festival'"):
        Supervisor(replace(ALONE, data_dir=tmp_path, tts=WorkerSettings(engine="festival")))


@pytest.mark.parametrize("model", ["../secret", "/etc/passwd", "nothing-there"])
def test_model_outside_the_folders_is_an_obstacle(tmp_path, model):
    settings = replace(ALONE, data_dir=tmp_path, stt=WorkerSettings(engine="whisper", model=model))
    assert "There is no model" in (plan_worker("stt", settings, tmp_path).obstacle or "")


def test_sockets_lie_where_only_we_can_go_and_their_paths_are_short(tmp_path):
    supervisor = Supervisor(replace(ALONE, data_dir=tmp_path))
    path = supervisor["llm"].plan.uri.removeprefix("unix://")
    assert len(path.encode()) < 104
    assert os.stat(os.path.dirname(path)).st_mode & 0o077 == 0  # noqa: PTH116, PTH120
    asyncio.run(supervisor.stop())


@pytest.mark.parametrize("task", TASKS)
def test_child_reads_the_settings_its_hub_has(task, tmp_path):
    worker = WorkerSettings(
        engine="scripted", model="a model", url="http://127.0.0.1:1/v1", model_name="m", voice="v", threads=3
    )
    settings = Settings(
        language="pt-BR",
        data_dir=tmp_path / "data",
        model_dirs=(tmp_path / "a", tmp_path / "b"),
        llm_api_key="secret",
        vad=worker,
        stt=worker,
        tts=worker,
        llm=worker,
    )
    environ = worker_environ(task, settings, {"HEARTH_STT_MODEL": "other", "HEARTH_LLM_API_KEY": "other", "PATH": "/"})
    theirs = load_settings(environ=environ, overrides={f"{task}.engine": "scripted"})
    assert theirs.worker(task) == worker
    assert (theirs.language, theirs.data_dir, theirs.model_dirs) == ("pt-BR", settings.data_dir, settings.model_dirs)
    assert theirs.llm_api_key == ("secret" if task == "llm" else None)
    assert environ["OMP_NUM_THREADS"] == "3"
    assert environ["OMP_WAIT_POLICY"] == "passive"
