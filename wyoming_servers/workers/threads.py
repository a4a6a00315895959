"""Runs a synchronous engine in threads, so that nothing heavy ever runs on the event loop.

Every client has at most one step of its work waiting. Among waiting steps the one that is *due* first runs
next. By default a step is due when it is asked for: first come, first served, so the steps of a long request
and a short one alternate by themselves, and the first steps of many clients come before anybody's second.
A worker that knows better says so: audio that continues what a client is still listening to is due when that
runs out, so a client that waits for its first sound comes before one that is merely ahead of itself.
"""

import asyncio
import heapq
import logging
import threading
import time
from collections.abc import AsyncIterator, Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from itertools import count
from typing import Any, Generic, TypeVar

T = TypeVar("T")
_END = object()
_AT_ONCE = float("-inf")
_LOGGER = logging.getLogger(__name__)


@dataclass(order=True, slots=True)
class _Job:
    due: float
    number: int
    step: Callable[[], Any] = field(compare=False)
    future: Future[Any] = field(compare=False, default_factory=Future)


class EngineThreads:
    """The threads of one engine."""

    def __init__(self, concurrency: int, name: str) -> None:
        """Allow `concurrency` steps at the same time."""
        self._executor = ThreadPoolExecutor(max_workers=max(1, concurrency), thread_name_prefix=name)
        self._waiting: list[_Job] = []
        self._lock = threading.Lock()
        self._numbers = count()

    @property
    def waiting(self) -> int:
        """How many steps wait for a thread."""
        with self._lock:
            return sum(not job.future.done() for job in self._waiting)

    async def run(self, step: Callable[[], T], *, due: float | None = None) -> T:
        """Run one step in a thread; `due` is on `time.monotonic`'s clock.

        When the caller is cancelled a step that has not begun never does, and one that has is not waited for.
        """
        result: T = await asyncio.wrap_future(self._submit(step, time.monotonic() if due is None else due))
        return result

    @asynccontextmanager
    async def iterate(self, items: Iterator[T]) -> AsyncIterator["Steps[T]"]:
        """Advance a generator step by step; leaving the block ends it, however it is left.

        The generator is closed in a thread, before any step that waits; the caller is not kept waiting for that.
        """
        steps = Steps(self, items)
        try:
            yield steps
        finally:
            steps.close()

    def close(self) -> None:
        """Let running steps end and take no more."""
        self._executor.shutdown(wait=False, cancel_futures=True)
        with self._lock:
            for job in self._waiting:
                job.future.cancel()
            self._waiting.clear()

    def _submit(self, step: Callable[[], Any], due: float) -> Future[Any]:
        job = _Job(due, next(self._numbers), step)
        with self._lock:
            heapq.heappush(self._waiting, job)
        # One ticket per job, each for whatever is due first when a thread is free.
        self._executor.submit(self._run_next)
        return job.future

    def _run_next(self) -> None:
        with self._lock:
            while self._waiting:
                job = heapq.heappop(self._waiting)
                if job.future.set_running_or_notify_cancel():
                    break
            else:
                return
        try:
            result = job.step()
        except StopIteration as err:
            # A future refuses to carry a StopIteration, and whoever awaited it would wait for ever.
            job.future.set_exception(RuntimeError("a step raised StopIteration").with_traceback(err.__traceback__))
        except BaseException as err:  # noqa: BLE001  # carried to the caller, whatever it is
            job.future.set_exception(err)
        else:
            job.future.set_result(result)


class Steps(Generic[T]):
    """An iterator whose steps run in the engine's threads."""

    def __init__(self, threads: EngineThreads, items: Iterator[T]) -> None:
        """Wrap `items`; only `EngineThreads.iterate` makes one."""
        self.due: float | None = None
        """When the next step is due; None means when it is asked for."""
        self._threads = threads
        self._items = items
        self._is_over = False
        self._in_use = threading.Lock()

    def __aiter__(self) -> "Steps[T]":
        return self

    async def __anext__(self) -> T:
        if self._is_over:
            raise StopAsyncIteration
        item = await self._threads.run(self._next, due=self.due)
        if item is _END:
            self._is_over = True
            raise StopAsyncIteration
        return item  # type: ignore[return-value]  # only the end marker is of another type

    def close(self) -> None:
        """Close the generator: in the thread of its running step once that has ended, else in any thread, first."""
        if self._is_over:
            return
        self._is_over = True
        try:
            self._threads._submit(self._close_if_unused, _AT_ONCE)  # the two are one mechanism
        except RuntimeError:
            _LOGGER.debug("The threads have ended before a generator was closed")

    def _next(self) -> object:
        with self._in_use:
            item = _END if self._is_over else next(self._items, _END)
        if self._is_over:
            self._close_if_unused()
        return item

    def _close_if_unused(self) -> None:
        # Closing a generator that runs is an error. Whoever finds it in use leaves it to the step inside,
        # which looks again after it has let go; closing twice does nothing.
        if not self._in_use.acquire(blocking=False):
            return
        try:
            if close := getattr(self._items, "close", None):
                close()
        finally:
            self._in_use.release()
