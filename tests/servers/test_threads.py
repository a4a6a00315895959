"""Steps of engines in threads: who comes first, and what is left of a step nobody waits for any more."""

import asyncio
import contextlib
import threading

import pytest

from tests.support.waiting import until
from wyoming_servers.workers.threads import EngineThreads


@pytest.fixture
def threads():
    threads = EngineThreads(1, "test")
    yield threads
    threads.close()


class Gate:
    """A step that stays in its thread until it is let go."""

    def __init__(self) -> None:
        self.begun = threading.Event()
        self.may_end = threading.Event()

    def __call__(self) -> str:
        self.begun.set()
        assert self.may_end.wait(10)
        return "done"


class Counted:
    """An endless generator that knows whether it was closed, and where."""

    def __init__(self, gate: Gate | None = None) -> None:
        self.closed = threading.Event()
        self.closed_in = ""
        self.items = self._run(gate)

    def _run(self, gate: Gate | None):
        try:
            number = 0
            while True:
                yield number
                number += 1
                if gate:
                    gate()
        finally:
            self.closed_in = threading.current_thread().name
            self.closed.set()


async def hold(threads: EngineThreads) -> tuple[Gate, asyncio.Task[str]]:
    """Keep the only thread busy."""
    gate = Gate()
    task = asyncio.create_task(threads.run(gate))
    await until(gate.begun.is_set)
    return gate, task


async def test_a_step_returns_its_result_from_another_thread(threads):
    assert await threads.run(lambda: threading.current_thread().name) != threading.current_thread().name


@pytest.mark.parametrize("error", [ValueError("no"), KeyboardInterrupt(), StopIteration()])
async def test_what_a_step_raises_reaches_its_caller(threads, error):
    def step() -> None:
        raise error

    expected = RuntimeError if isinstance(error, StopIteration) else type(error)
    async with asyncio.timeout(5):
        with pytest.raises(expected):
            await threads.run(step)
        assert await threads.run(lambda: "still there") == "still there"


async def test_steps_are_first_come_first_served(threads):
    gate, held = await hold(threads)
    order: list[int] = []
    later = [asyncio.create_task(threads.run(lambda number=number: order.append(number))) for number in range(10)]
    await until(lambda: threads.waiting == 10)
    gate.may_end.set()
    await asyncio.gather(held, *later)
    assert order == list(range(10))


async def test_what_is_due_first_comes_first(threads):
    gate, held = await hold(threads)
    order: list[float] = []
    later = [asyncio.create_task(threads.run(lambda due=due: order.append(due), due=due)) for due in (3, 1, 2, 1.5, 0)]
    await until(lambda: threads.waiting == 5)
    gate.may_end.set()
    await asyncio.gather(held, *later)
    assert order == [0, 1, 1.5, 2, 3]


async def test_no_more_steps_run_at_once_than_allowed():
    threads = EngineThreads(2, "test")
    gates = [Gate() for _ in range(3)]
    tasks = [asyncio.create_task(threads.run(gate)) for gate in gates]
    await until(lambda: gates[0].begun.is_set() and gates[1].begun.is_set())
    assert not gates[2].begun.wait(0.1)
    for gate in gates:
        gate.may_end.set()
    assert await asyncio.gather(*tasks) == ["done"] * 3
    threads.close()


async def test_a_step_whose_caller_is_gone_never_begins(threads):
    gate, held = await hold(threads)
    ran: list[str] = []
    gone = asyncio.create_task(threads.run(lambda: ran.append("gone")))
    kept = asyncio.create_task(threads.run(lambda: ran.append("kept")))
    await until(lambda: threads.waiting == 2)
    gone.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await gone
    assert threads.waiting == 1
    gate.may_end.set()
    await asyncio.gather(held, kept)
    assert ran == ["kept"]


async def test_a_caller_that_is_cancelled_does_not_wait_for_a_step_that_runs(threads):
    gate, held = await hold(threads)
    held.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await held
    gate.may_end.set()
    assert await threads.run(lambda: 1) == 1


async def test_a_generator_is_used_up(threads):
    async with threads.iterate(iter([1, 2, 3])) as steps:
        assert [item async for item in steps] == [1, 2, 3]
        assert [item async for item in steps] == []


async def test_what_a_generator_raises_reaches_its_caller(threads):
    def items():
        yield 1
        raise ValueError("no")

    async with threads.iterate(items()) as steps:
        assert await anext(steps) == 1
        with pytest.raises(ValueError, match="no"):
            await anext(steps)


async def test_a_generator_left_early_is_closed_in_a_thread(threads):
    counted = Counted()
    async with threads.iterate(counted.items) as steps:
        assert await anext(steps) == 0
    await until(counted.closed.is_set)
    assert counted.closed_in.startswith("test")


async def test_a_generator_left_in_a_step_is_closed_after_it(threads):
    gate = Gate()
    counted = Counted(gate)

    async def use() -> None:
        async with threads.iterate(counted.items) as steps:
            async for _ in steps:
                pass

    task = asyncio.create_task(use())
    await until(gate.begun.is_set)
    task.cancel()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not counted.closed.is_set()
    gate.may_end.set()
    await until(counted.closed.is_set)


async def test_a_generator_left_is_closed_before_any_waiting_step(threads):
    counted = Counted()
    async with threads.iterate(counted.items) as steps:
        await anext(steps)
        gate, held = await hold(threads)
        later = asyncio.create_task(threads.run(counted.closed.is_set, due=0))
        await until(lambda: threads.waiting == 1)
    gate.may_end.set()
    await held
    assert await later


async def test_two_threads_never_run_one_generator():
    threads = EngineThreads(2, "test")
    for _ in range(200):
        counted = Counted()
        async with threads.iterate(counted.items) as steps:
            task = asyncio.create_task(anext(steps))
            await asyncio.sleep(0)
            task.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await task
    assert await threads.run(lambda: 1) == 1
    threads.close()


async def test_a_generator_without_close_can_be_left(threads):
    async with threads.iterate(iter(range(5))) as steps:
        assert await anext(steps) == 0
    assert await threads.run(lambda: 1) == 1


async def test_closed_threads_end_what_waits(threads):
    gate, held = await hold(threads)
    waiting = asyncio.create_task(threads.run(lambda: 1))
    await until(lambda: threads.waiting == 1)
    threads.close()
    async with asyncio.timeout(5):
        with pytest.raises(asyncio.CancelledError):
            await waiting
    gate.may_end.set()
    assert await held == "done"
