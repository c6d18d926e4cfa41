"""Waits for what happens in other processes."""

import asyncio
from collections.abc import Awaitable, Callable


async def until(condition: Callable[[], Awaitable[bool]], limit: float, what: str) -> float:
    """Waits until a condition holds.

    Args:
        condition: What is asked again and again.
        limit: Seconds at most.
        what: What is waited for, for the report.

    Returns:
        How many seconds it took.

    Raises:
        TimeoutError: It does not come to hold.
    """
    loop = asyncio.get_running_loop()
    began = loop.time()
    while not await condition():
        if loop.time() - began > limit:
            raise TimeoutError(f"waited {limit:.0f} s for {what}")
        await asyncio.sleep(0.1)
    return loop.time() - began
