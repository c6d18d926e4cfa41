"""What ends calls whose time is over: one timer for all calls of a method, for most of them never need it."""

import asyncio
from typing import Final

GRAIN: Final = 0.005
"""Seconds by which an alarm may be late, so that many which are due together cost one look."""


class Alarm:
    """Cancels the task that sets it, when it rings."""

    __slots__ = ("_task", "rang")

    def __init__(self) -> None:
        self._task = asyncio.current_task()
        self.rang = False

    def ring(self) -> None:
        """The time is over."""
        self.rang = True
        if self._task is not None:
            self._task.cancel()

    def take_back(self) -> int:
        """Takes the cancellation back; how many of others' remain."""
        return self._task.uncancel() if self._task is not None else 0


class Alarms:
    """The alarms that are set, in one event loop.

    The timer goes by the earliest. Nearly every call ends long before its alarm, and leaves the timer alone: a timer
    of its own, made and dropped on every call, costs more than all there is to do here.
    """

    def __init__(self) -> None:
        self._due: dict[Alarm, float] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._rings_at = float("inf")

    def set(self, at: float) -> Alarm:
        """Sets an alarm for the current task, at a time of the event loop."""
        alarm = Alarm()
        self._due[alarm] = at
        if at < self._rings_at:
            self._ring_at(at)
        return alarm

    def forget(self, alarm: Alarm) -> None:
        """The call has ended; an alarm that rang is gone already."""
        self._due.pop(alarm, None)

    def _ring_at(self, at: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._timer, self._rings_at = asyncio.get_running_loop().call_at(at, self._look), at

    def _look(self) -> None:
        """Rings what is due and waits for the next."""
        self._timer, self._rings_at = None, float("inf")
        now = asyncio.get_running_loop().time()
        for alarm in [alarm for alarm, at in self._due.items() if at <= now]:
            del self._due[alarm]
            alarm.ring()
        if self._due:
            self._ring_at(max(min(self._due.values()), now + GRAIN))
