"""How the operating system shares the processor among the threads of a service."""

import contextlib
import os


def run_in_batches() -> None:
    """Lets this process's threads finish their turn (SCHED_BATCH, Linux sched(7)). Call before any thread is started.

    gRPC wakes a thread of its own six times a call. Each time the kernel would interrupt the event loop for it and go
    back a few microseconds later: a fifth of all processor time went into that (docs/decisions/035). Threads that are
    started later inherit the policy. Where the system has no such thing or forbids it, all goes on as ever.
    """
    with contextlib.suppress(AttributeError, OSError):
        os.sched_setscheduler(0, os.SCHED_BATCH, os.sched_param(0))
