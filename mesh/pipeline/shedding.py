"""Load shedding: a process that has all it can serve refuses what matters least, before any work.

Load is measured twice: calls under way against `max_in_flight`, and how late the event loop is against `max_loop_lag`.
Each priority may fill a share of both. What outsiders merely look at goes first, what other workloads need goes last:
a half-done order is worth more than another look at the catalog.

Changes are held shorter. What an answered one has left to be done in the background counts like a call under way, else
a process that answers early would take on more than it can ever do. And how many may be under way follows the loop: it
shrinks by a part while the loop is late and grows by a little while it is not (AIMD, as TCP does, RFC 5681, 3.1). A
process serves no more orders a second with sixty at once than with ten; it only keeps all of them waiting.
"""

import asyncio
import random
import time
from collections import Counter, deque
from collections.abc import Callable
from datetime import timedelta
from enum import Enum
from typing import Any, Final, assert_never

import grpc

from mesh.decision import EDGE
from mesh.errors import ResourceExhausted
from mesh.logs import logger
from mesh.metrics import Metrics
from mesh.pipeline.exchange import Exchange, Next, Stage
from mesh.pipeline.refusal import refuse
from mesh.policy import Audience, MethodPolicy
from mesh.tuning import Shedding

SAMPLE_SECONDS: Final = 0.05
"""How often the event loop is asked whether it is late."""

SAMPLES: Final = 4
"""The least lag of so many samples counts: one slow step is no overload, a queue that stays is (RFC 8289, 3)."""

SMOOTHING: Final = 0.1
"""Weight of the newest sample in the mean lag that the room for changes follows: it remembers about half a second."""

SHRINK: Final = 0.98
"""What is left of the room for changes after a sample at which the loop was late: two thirds after a second. A burst
finds nearly all of it; what stays does not."""

GROW: Final = 0.2
"""How much room comes back with a sample at which it was not: four changes a second."""

LEAST_CHANGES: Final = 3
"""How many changes find room however late the loop is: so many keep a process busy."""

SUMMARY_SECONDS: Final = 5.0
"""How often, at most, the log tells of refused calls: a line a refusal would be a second storm."""

RETRY_SECONDS: Final = (0.5, 1.5)
"""When a refused caller may come back: random, so that they do not all come at once."""

_log = logger("shedding")


class Priority(Enum):
    """What is refused first, in this order."""

    PUBLIC_READ = "public_read"
    """Anybody looks at something."""
    USER_READ = "user_read"
    """A person looks at something; or somebody logs in or signs up."""
    CHANGE = "change"
    """A person changes something."""
    INTERNAL = "internal"
    """Another workload calls: to refuse it would tear what was begun elsewhere."""


def priority_of(policy: MethodPolicy) -> Priority:
    """What a call of a method from outside is worth. From another workload it is always INTERNAL."""
    match policy.audience:
        case Audience.NONE:
            return Priority.INTERNAL
        case Audience.PUBLIC:
            # Whoever has no account must not crowd out those who have: such changes stand with users' reads.
            return Priority.PUBLIC_READ if policy.side_effect_free else Priority.USER_READ
        case Audience.USER | Audience.ADMIN:
            return Priority.USER_READ if policy.side_effect_free else Priority.CHANGE
        case _:
            assert_never(policy.audience)


class Load:
    """What a process has to do at the moment. One object a process.

    Args:
        tuning: How much it may be.
        metrics: Where lag and refusals are shown.
        background: How much is being done that no call waits for.
    """

    def __init__(self, tuning: Shedding, metrics: Metrics, background: Callable[[], int] = lambda: 0) -> None:
        self.in_flight = 0
        """Calls under way; streams are not among them, they mostly wait."""
        self.streams = 0
        """Streams that are open."""
        self.lag = 0.0
        """Seconds by which the event loop is late, of late at least."""
        shares = {
            Priority.PUBLIC_READ: tuning.public_share,
            Priority.USER_READ: tuning.user_share,
            Priority.CHANGE: tuning.change_share,
            Priority.INTERNAL: 1.0,
        }
        longest = tuning.max_loop_lag.total_seconds()
        self._calls = {priority: int(share * tuning.max_in_flight) for priority, share in shares.items()}
        self._streams = {priority: int(share * tuning.max_streams) for priority, share in shares.items()}
        self._lag = {priority: share * longest for priority, share in shares.items()}
        self._calm = tuning.calm_loop_lag.total_seconds()
        self._mean_lag = 0.0
        self._most_changes = float(self._calls[Priority.CHANGE])
        self._least_changes = min(self._most_changes, LEAST_CHANGES)
        self._changes = self._most_changes
        self._background = background
        self._samples: deque[float] = deque([0.0] * SAMPLES, maxlen=SAMPLES)
        self._refused: Counter[Priority] = Counter()
        metrics.loop_lag.set_function(lambda: self.lag)
        metrics.open_streams.set_function(lambda: self.streams)

    def admits(self, priority: Priority, *, stream: bool = False) -> bool:
        """Whether there is room for one more."""
        if self.lag > self._lag[priority]:
            return False
        if stream:
            return self.streams < self._streams[priority]
        if priority is Priority.CHANGE:
            return self._under_way() < self._changes
        return self.in_flight < self._calls[priority]

    def refused(self, priority: Priority) -> None:
        """Notes a refusal for the summary."""
        self._refused[priority] += 1

    async def watch(self) -> None:
        """Measures the event loop's lag, for ever, and sums up refusals in the log. Run it as a task."""
        loop = asyncio.get_running_loop()
        summed_up = loop.time() - SUMMARY_SECONDS
        while True:
            due = loop.time() + SAMPLE_SECONDS
            await asyncio.sleep(SAMPLE_SECONDS)
            now = loop.time()
            self.measured(now - due)
            if self._refused and now - summed_up >= SUMMARY_SECONDS:
                summed_up = now
                self._sum_up()

    def measured(self, lag: float) -> None:
        """Takes a sample of the lag, in seconds."""
        self._samples.append(max(lag, 0.0))
        self.lag = min(self._samples)
        self._mean_lag += SMOOTHING * (max(lag, 0.0) - self._mean_lag)
        if self._mean_lag <= self._calm:
            self._changes = min(self._changes + GROW, self._most_changes)
        elif self._under_way() >= self._least_changes:  # else it is not they who make it late
            self._changes = max(SHRINK * self._changes, self._least_changes)

    def _under_way(self) -> int:
        # Mostly a call waits for what it has set going: then both are one.
        return max(self.in_flight, self._background())

    def _sum_up(self) -> None:
        refused = {priority.value: count for priority, count in self._refused.items()}
        self._refused.clear()
        _log.warning(
            "calls refused: overloaded",
            refused=refused,
            in_flight=self.in_flight,
            background=self._background(),
            room_for_changes=round(self._changes),
            streams=self.streams,
            loop_lag_ms=round(self.lag * 1000, 1),
        )


def shedding_stage(load: Load, metrics: Metrics) -> Stage:
    """Refuses a call that there is no room for.

    The refusal is RESOURCE_EXHAUSTED, not UNAVAILABLE: contracts repeat UNAVAILABLE at once, gRPC clients and proxies
    alike, and proxies eject a process that answers it (docs/decisions/020). It has no span and no log line.
    """

    def stage(policy: MethodPolicy, proceed: Next) -> Next:
        from_outside = priority_of(policy)
        stream = policy.client_streaming or policy.server_streaming
        duration = metrics.server_duration.labels(policy.path.lstrip("/"), grpc.StatusCode.RESOURCE_EXHAUSTED.name)

        async def shed(exchange: Exchange) -> Any:
            caller = exchange.call.caller
            priority = from_outside if caller == EDGE or caller is None else Priority.INTERNAL
            if not load.admits(priority, stream=stream):
                return await turn_away(exchange, priority)
            if stream:
                load.streams += 1
                try:
                    return await proceed(exchange)
                finally:
                    load.streams -= 1
            load.in_flight += 1
            try:
                return await proceed(exchange)
            finally:
                load.in_flight -= 1

        async def turn_away(exchange: Exchange, priority: Priority) -> None:
            started = time.perf_counter()
            load.refused(priority)
            pause = timedelta(seconds=random.uniform(*RETRY_SECONDS))  # noqa: S311 - jitter, no secret
            error = ResourceExhausted("OVERLOADED", "the process has all the calls it can serve", retry_after=pause)
            try:
                await refuse(exchange, error, metrics, stage="shedding")
            finally:
                duration.observe(time.perf_counter() - started)

        return shed

    return stage
