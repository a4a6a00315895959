"""Runs a synchronous engine in threads, so that nothing heavy ever runs on the event loop.

Every client has at most one step of its work in the queue. The queue is first come, first served, so steps
of a long request and a short one alternate by themselves, and the first steps of many clients come before
anybody's second.
"""

import asyncio
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import asynccontextmanager
from typing import Generic, TypeVar

T = TypeVar("T")
_END = object()


class EngineThreads:
    """The threads of one engine."""

    def __init__(self, concurrency: int, name: str) -> None:
        """Allow `concurrency` steps at the same time."""
        self._executor = ThreadPoolExecutor(max_workers=max(1, concurrency), thread_name_prefix=name)

    async def run(self, step: Callable[[], T]) -> T:
        """Run one step in a thread. A cancelled caller does not wait for a step that has begun."""
        return await asyncio.get_running_loop().run_in_executor(self._executor, step)

    @asynccontextmanager
    async def iterate(self, items: Iterator[T]) -> AsyncIterator["Steps[T]"]:
        """Advance a generator step by step; leaving the block closes it, however it is left."""
        steps = Steps(self, items)
        try:
            yield steps
        finally:
            await steps.aclose()

    def close(self) -> None:
        """Let running steps end and take no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)


class Steps(Generic[T]):
    """An iterator whose steps run in the engine's threads."""

    def __init__(self, threads: EngineThreads, items: Iterator[T]) -> None:
        """Wrap `items`; only `EngineThreads.iterate` makes one."""
        self._threads = threads
        self._items = items
        self._step: asyncio.Future[object] | None = None

    def __aiter__(self) -> "Steps[T]":
        return self

    async def __anext__(self) -> T:
        self._step = asyncio.ensure_future(self._threads.run(lambda: next(self._items, _END)))
        item = await asyncio.shield(self._step)
        self._step = None
        if item is _END:
            raise StopAsyncIteration
        return item  # type: ignore[return-value]  # only the end marker is of another type

    async def aclose(self) -> None:
        """Close the generator once its running step has ended, without making the caller wait for that."""
        close = getattr(self._items, "close", None)
        if close is None:
            return
        step = self._step
        if step is None or step.done():
            await self._threads.run(close)
            return
        step.add_done_callback(lambda done: (done.cancelled() or done.exception(), close()))
