"""Work that outlives a call: tracked, so that a stopping process waits for it, and detached from whoever caused it."""

import asyncio
from collections.abc import Coroutine
from typing import Any, TypeVar

from mesh.call import detached_context, find_call
from mesh.logs import logger

T = TypeVar("T")

_log = logger("background")


class Background:
    """The tasks of a process that no call waits for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def spawn(self, work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
        """Runs work as the workload itself: correlation and trace of the present call go on, its person and key do not.

        An exception that nobody awaits is logged.
        """
        task = asyncio.create_task(work, name=name, context=detached_context(find_call()))
        self._tasks.add(task)
        task.add_done_callback(self._forget)
        return task

    async def drain(self, seconds: float) -> None:
        """Waits for what is running, at most `seconds`; then cancels the rest and waits for that."""
        if self._tasks:
            _, late = await asyncio.wait(set(self._tasks), timeout=seconds)
            for task in late:
                _log.warning("cancelled at stop", task=task.get_name())
                task.cancel()
            await asyncio.gather(*late, return_exceptions=True)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background task failed", task=task.get_name(), exc_info=error)
