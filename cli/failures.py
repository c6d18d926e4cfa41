"""Failures a person can act on, each told in one sentence."""

import errno


class Failure(Exception):
    """A known failure. The text is one sentence for the person at the terminal, what to do about it included.

    ```
    Failure
    ├── PortTaken       another process listens where we must
    ├── CorruptState    the local state cannot be read
    ├── MissingBinary   a program we start has no build for this platform
    ├── Unhealthy       a process does not become healthy
    └── NotRunning      the command needs a running system
    ```
    """

    def __init__(self, sentence: str, *, details: tuple[str, ...] = ()) -> None:
        """Keep the sentence and the lines (of a log, say) that stand below it."""
        super().__init__(sentence)
        self.details = details


def as_failure(error: OSError) -> Failure | None:
    """Return what an error of the operating system means to a person, or None where it means a defect of ours."""
    if error.errno in {errno.ENOSPC, errno.EDQUOT}:
        return Failure("There is no disk space left; free some, or move the local state with ZOCO_HOME.")
    return None


class PortTaken(Failure):
    """Another process listens on a port that we need."""


class CorruptState(Failure):
    """A file of the local state is damaged."""


class MissingBinary(Failure):
    """A program has no build for this platform."""


class Unhealthy(Failure):
    """A process does not become healthy in time; `details` holds its last log lines."""


class NotRunning(Failure):
    """Nothing runs under this home."""
