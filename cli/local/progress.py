"""What a person sees while the system starts: a line a step, with a tick and the time it took."""

import json
import time
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Protocol, TextIO


class Progress(Protocol):
    """Is told of each step's begin and end."""

    def begin(self, step: str) -> None:
        """Tell that `step` is under way."""

    def update(self, text: str) -> None:
        """Tell how far the step under way has come."""

    def end(self, step: str, detail: str, seconds: float) -> None:
        """Tell that `step` is done, and what came of it."""


class Step:
    """A step under way; its block may leave a detail for the closing line."""

    def __init__(self, progress: Progress, name: str) -> None:
        """Belongs to `progress`."""
        self._progress = progress
        self._name = name
        self.detail = ""

    def update(self, text: str) -> None:
        """Show how far it has come."""
        self._progress.update(text)


@contextmanager
def step(progress: Progress, name: str) -> Iterator[Step]:
    """Show `name` as under way during the block, and its time afterwards unless the block raises."""
    begun = time.monotonic()
    progress.begin(name)
    current = Step(progress, name)
    yield current
    progress.end(name, current.detail, time.monotonic() - begun)


class PlainProgress:
    """For a file or a pipe: one line a step, when it is done."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream = stream

    def begin(self, step: str) -> None:
        """Write nothing: the line comes when the step is done."""

    def update(self, text: str) -> None:
        """Write nothing."""

    def end(self, step: str, detail: str, seconds: float) -> None:
        """Write the line."""
        print(f"ok  {step:<22} {detail:<44} {seconds:6.2f} s", file=self._stream, flush=True)

    def clear(self) -> None:
        """Nothing to take away."""


class RelayedProgress:
    """For `up --detach`: events as JSON lines to the process that waits, until it goes away."""

    def __init__(self, stream: TextIO) -> None:
        """Write to `stream`."""
        self._stream: TextIO | None = stream

    def begin(self, step: str) -> None:
        """Send it."""
        self.send({"begin": step})

    def update(self, text: str) -> None:
        """Send it."""
        self.send({"update": text})

    def end(self, step: str, detail: str, seconds: float) -> None:
        """Send it."""
        self.send({"end": step, "detail": detail, "seconds": seconds})

    def send(self, event: dict[str, object]) -> None:
        """Send one event; nobody listening any more is no failure of ours."""
        if self._stream is None:
            return
        try:
            self._stream.write(json.dumps(event) + "\n")
            self._stream.flush()
        except BrokenPipeError:
            self._stream = None


def replay(event: dict[str, object], progress: Progress) -> None:
    """Tell `progress` what a `RelayedProgress` sent."""
    match event:
        case {"begin": str(name)}:
            progress.begin(name)
        case {"update": str(text)}:
            progress.update(text)
        case {"end": str(name), "detail": str(detail), "seconds": float(seconds)}:
            progress.end(name, detail, seconds)
        case _:
            raise ValueError(f"unknown event {event}")
