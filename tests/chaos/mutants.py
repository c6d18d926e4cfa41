"""Mutants: the shop with one rule of delivery broken, each with the crash that has to show it."""

import shutil
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from tests.journeys.running import PROJECT

ROOMS: Final = ("catalog", "cli", "gateway", "generated", "mesh", "protos", "services", "pyproject.toml")
"""What a checkout needs to start a shop from."""


class Stale(Exception):
    """The code is not what a mutant was written for."""


@dataclass(frozen=True)
class Edit:
    """A change of one place of the code."""

    file: str
    before: str
    """What stands there now, exactly once."""
    after: str

    def apply(self, checkout: Path) -> None:
        """Changes a checkout.

        Raises:
            Stale: The place is not there, or not once.
        """
        path = checkout / self.file
        text = path.read_text()
        if text.count(self.before) != 1:
            raise Stale(f"{self.file} has {self.before.strip()!r} {text.count(self.before)} times, not once")
        path.write_text(text.replace(self.before, self.after))


@dataclass(frozen=True)
class Statement:
    """A change of one service's database."""

    service: str
    sql: str


@dataclass(frozen=True)
class Mutant:
    """The shop with something broken."""

    name: str
    what: str
    """What is broken, in plain words."""
    change: Edit | Statement
    points: Sequence[str]
    """The crashes after which it has to show."""
    shows: str
    """The invariant that has to be found broken."""


MUTANTS: Final = (
    Mutant(
        "inbox-without-key",
        "the inbox of analytics takes an event twice",
        Statement("analytics", "ALTER TABLE inbox DROP CONSTRAINT inbox_pkey"),
        ["analytics.consumer.after_commit"],
        shows="I5",
    ),
    Mutant(
        "acknowledged-before-commit",
        "a consumer acknowledges an event before its effect is committed",
        Edit(
            "mesh/bus/consumer.py",
            '        crashpoint(f"{self._workload}.consumer.received")\n',
            '        crashpoint(f"{self._workload}.consumer.received")\n'
            "        for item in items:\n"
            "            await item.delivery.ack()\n",
        ),
        ["analytics.consumer.before_commit"],
        shows="I5",
    ),
    Mutant(
        "marked-before-stored",
        "a relay marks an event as published before the broker has it",
        Edit(
            "mesh/bus/relay.py",
            '        crashpoint(f"{self._workload}.relay.selected")\n',
            '        ids = {"ids": [row.id for row in rows], "last": 0, "stream": stream.name}\n'
            "        await connection.execute(_MARK, ids)\n"
            '        crashpoint(f"{self._workload}.relay.selected")\n',
        ),
        ["order.relay.selected"],
        shows="I5",
    ),
)


def copy_checkout(to: Path) -> Path:
    """Copies what a shop is started from, and returns the copy."""
    for room in ROOMS:
        source = PROJECT / room
        if source.is_dir():
            shutil.copytree(source, to / room, ignore=shutil.ignore_patterns("__pycache__"))
        else:
            shutil.copy2(source, to / room)
    return to
