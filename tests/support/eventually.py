"""Waiting for something another process does."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(is_there: Callable[[], Awaitable[object]], seconds: float = 15) -> None:
    """Ask until the answer is true. Raises TimeoutError if it never is."""
    async with asyncio.timeout(seconds):
        while not await is_there():  # noqa: ASYNC110  # another process cannot set our event
            await asyncio.sleep(0.05)
