"""Work that outlives a call: tracked, so that a stopping process waits for it, and detached from whoever caused it."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, Final, TypeVar

from mesh.call import detached_context, find_call
from mesh.logs import logger

T = TypeVar("T")

CANCEL_AGAIN_SECONDS: Final = 0.5

_log = logger("background")


async def end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancels tasks and waits until they have ended.

    Again and again: before Python 3.12 `asyncio.wait_for`, which the broker's client uses, loses a cancellation that
    comes in the same moment as what it waits for (https://github.com/python/cpython/issues/86296).
    """
    pending = {task for task in tasks if not task.done()}
    while pending:
        for task in pending:
            task.cancel()
        _, pending = await asyncio.wait(pending, timeout=CANCEL_AGAIN_SECONDS)


class Background:
    """The tasks of a process that no call waits for."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[Any]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

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
            await end(late)

    def _forget(self, task: asyncio.Task[Any]) -> None:
        self._tasks.discard(task)
        if not task.cancelled() and (error := task.exception()) is not None:
            _log.error("background task failed", task=task.get_name(), exc_info=error)
