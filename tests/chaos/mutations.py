"""`make chaos-mutations`: whether the chaos run sees what it is there for. Each mutant of the shop must turn it red."""

import asyncio
import os
import sys
import time
from collections.abc import Coroutine, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

import psycopg

from tests.chaos.crashes import Round, play
from tests.chaos.customers import Customers
from tests.chaos.house import House, open_house
from tests.chaos.ledger import Ledger
from tests.chaos.mutants import MUTANTS, Edit, Mutant, Statement, copy_checkout
from tests.chaos.points import POINTS
from tests.journeys.running import PROJECT

SETTLE: Final = 60.0
"""Seconds the audit waits for rest; a mutant may never come to it."""


def main() -> None:
    """Runs the shop as it is, which must stay green, and then each mutant. Exits with 1 if the gate does not hold."""
    only = os.environ.get("ONLY", "")
    seed = int(os.environ.get("SEED") or int.from_bytes(os.urandom(4)))
    mutants = [each for each in MUTANTS if only in each.name]
    if not mutants:
        sys.exit(f"ONLY={only!r} names no mutant")
    print(f"seed {seed}; {len(mutants)} mutants", flush=True)
    began, failures = time.monotonic(), 0
    found = _run(_unchanged(mutants, seed))
    failures += bool(found)
    _tell(not found, "the shop as it is", "stays green" if not found else f"is red: {'; '.join(found)}")
    for mutant in mutants:
        found = _run(_mutated(mutant, seed))
        shown = [line for line in found if line.startswith(f"{mutant.shows} ")]
        failures += not shown
        said = f"is red: {shown[0]}" if shown else f"{mutant.what}, and {mutant.shows} does not show it: {found}"
        _tell(bool(shown), mutant.name, said)
    print(f"{len(mutants)} mutants, {failures} failures, {time.monotonic() - began:.0f} s")
    sys.exit(1 if failures else 0)


def _run(look: Coroutine[Any, Any, Sequence[str]]) -> Sequence[str]:
    """What was found. A shop that could not even be looked at is told of, and the others are still looked at."""
    try:
        return asyncio.run(look)
    except Exception as error:  # noqa: BLE001 - whatever it is, the mutant was not found
        return [f"{type(error).__name__}: {error}"]


def _tell(well: bool, name: str, said: str) -> None:
    print(f"{'ok  ' if well else 'FAIL'} {name} {said}", flush=True)


async def _unchanged(mutants: Sequence[Mutant], seed: int) -> Sequence[str]:
    with open_house() as house:
        return await _look(house, list(dict.fromkeys(point for each in mutants for point in each.points)), seed)


async def _mutated(mutant: Mutant, seed: int) -> Sequence[str]:
    with TemporaryDirectory(prefix="zoco-mutant-") as directory:
        project = PROJECT
        if isinstance(mutant.change, Edit):
            project = copy_checkout(Path(directory))
            mutant.change.apply(project)
        with open_house(project=project) as house:
            if isinstance(mutant.change, Statement):
                await _execute(house, mutant.change)
            return await _look(house, mutant.points, seed)


async def _execute(house: House, statement: Statement) -> None:
    url = house.database(statement.service)
    async with await psycopg.AsyncConnection.connect(url, autocommit=True) as connection:
        await connection.execute(statement.sql.encode())


async def _look(house: House, points: Sequence[str], seed: int) -> Sequence[str]:
    """Plays the crashes, and tells all that is wrong afterwards."""
    ledger = Ledger()
    customers = Customers(house.shop, ledger, seed)
    wrong: list[str] = []
    try:
        await customers.open()
        for point in points:
            outcome = await play(house, customers, ledger, Round([point], [POINTS[point]]))
            wrong += outcome.wrong
    finally:
        await customers.close()
    verdict = await house.audit(ledger.order_ids, settle=SETTLE)
    return [*wrong, *verdict.breaches]


if __name__ == "__main__":
    main()
