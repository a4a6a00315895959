"""Waiting for something that happens elsewhere."""

import asyncio
import time
from collections.abc import Callable


async def until(is_so: Callable[[], bool], seconds: float = 10) -> None:
    """Return once `is_so()`. Raises AssertionError if that takes too long."""
    deadline = time.monotonic() + seconds
    while not is_so():
        assert time.monotonic() < deadline
        await asyncio.sleep(0.02)
