"""A chaos run: crashes at every named point, pairs of them, faults under load; each audited."""

import asyncio
import itertools
import os
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from tests.chaos.crashes import Round, every_point_once, every_point_with_every_checkout, pairs, play, walk
from tests.chaos.customers import Customers, GaveUp
from tests.chaos.faults.fault import Fault
from tests.chaos.faults.registry import FAULTS
from tests.chaos.house import House, open_house
from tests.chaos.ledger import Ledger
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome
from tests.chaos.points import ELSEWHERE, POINTS, Flow
from tests.chaos.report import Report

AUDIT_EVERY: Final = 25
"""Rounds that share an audit; what it finds is found again with `ONLY`."""

SAMPLE: Final = 40
"""Acknowledged orders of a fault that are sent again, to see whether the answer is the same."""

ORDERS: Final = 60
"""Orders that are acknowledged during each fault of the full form, at least: what heals must sell again."""


@dataclass(frozen=True)
class Plan:
    """What a run does."""

    short: bool
    seed: int
    only: str = ""
    """Part of the names of what is to be run; everything where it is empty."""
    pairs: int = 120
    part: str = ""
    """`crashes` or `faults`, to do one half of a run; both where it is empty."""

    @property
    def crashes(self) -> bool:
        """Whether crashes are in it: what names no fault is looked for among them."""
        return self.part != "faults" and (not self.only or not self.faults())

    def rounds(self, reach: Mapping[Flow, frozenset[str]]) -> Sequence[Round]:
        """The crashes, by the points that each checkout comes by."""
        if self.short:
            chosen: Iterable[Round] = every_point_once()
        else:
            chosen = itertools.chain(every_point_with_every_checkout(reach), pairs(self.pairs, self.seed))
        return [each for each in chosen if self.only in each.name]

    def faults(self) -> Sequence[Fault]:
        """The faults."""
        return [each for each in self._asked() if self.is_possible(each)]

    def left_out(self) -> Sequence[Fault]:
        """Faults that were asked for, and that this account may not inflict."""
        return [each for each in self._asked() if not self.is_possible(each)]

    @staticmethod
    def is_possible(fault: Fault) -> bool:
        """Whether this account may inflict a fault: only root mounts a file system."""
        return fault.prepare is None or os.geteuid() == 0

    def _asked(self) -> Sequence[Fault]:
        wanted = [] if self.part == "crashes" else FAULTS
        return [each for each in wanted if (each.short or not self.short) and self.only in each.name]


async def run(plan: Plan, report: Report) -> None:
    """Runs all that is planned; each audit is of everything that was acknowledged in its shop."""
    together = [fault for fault in plan.faults() if not fault.alone]
    if plan.crashes or together:
        with open_house(brief=plan.short) as house:
            await _in_one_house(house, together, plan, report, crashes=plan.crashes)
    for fault in plan.faults():
        if fault.alone:
            with open_house(fault.settings, through=fault.through, brief=plan.short, prepare=fault.prepare) as house:
                await _in_one_house(house, [fault], plan, report)


async def _in_one_house(
    house: House, faults: Sequence[Fault], plan: Plan, report: Report, *, crashes: bool = False
) -> None:
    ledger = Ledger()
    customers = Customers(house.shop, ledger, plan.seed)
    try:
        await customers.open()
        if crashes:
            await _crash(house, customers, ledger, plan, report)
        poison = 0
        for fault in faults:
            poison += fault.poison
            await _inflict(house, customers, ledger, fault, poison, plan, report)
    finally:
        await customers.close()


async def _crash(house: House, customers: Customers, ledger: Ledger, plan: Plan, report: Report) -> None:
    rounds = plan.rounds({} if plan.short else await walk(house, customers, ledger))
    if not rounds:
        report.unproven.append(f"ONLY={plan.only!r} names no fault and no crash")
    for number, each in enumerate(rounds, 1):
        outcome = await play(house, customers, ledger, each)
        if number % AUDIT_EVERY == 0 or number == len(rounds):
            verdict = await house.audit(ledger.order_ids)
            report.audits += 1
            outcome.settled = verdict.seconds
            outcome.wrong += verdict.breaches
        report.add(outcome, to=report.crashes)
    if rounds and not plan.only:
        missed = sorted(POINTS.keys() - house.reached)
        unlisted = sorted(house.reached - POINTS.keys() - ELSEWHERE.keys())
        report.unproven += [f"no flow reached {point}" for point in missed]
        report.unproven += [f"{point} stands in no list" for point in unlisted]


async def _inflict(
    house: House,
    customers: Customers,
    ledger: Ledger,
    fault: Fault,
    poison: int,
    plan: Plan,
    report: Report,
) -> None:
    loop = asyncio.get_running_loop()
    before, wrong_before, began = len(ledger.orders), len(ledger.wrong), loop.time()
    outcome = Outcome(fault.name, 0, 0.0)
    load = Load(customers, ledger, clients=fault.clients, seed=plan.seed)
    try:
        async with load.running():
            # Caught in here, so that customers go through to the end of what they began.
            try:
                await fault.inflict(house, load, outcome)
            except Exception as failed:  # noqa: BLE001 - whatever it is, it belongs into the report, and the run goes on
                outcome.wrong.append(f"{type(failed).__name__}: {failed}")
            if not plan.short:
                await load.until(ORDERS - (load.acknowledged - before))
    except* Exception as failed:  # noqa: BLE001 - the same, of customers
        outcome.wrong += [f"{type(each).__name__}: {each}" for each in failed.exceptions]
    outcome.seconds = loop.time() - began
    verdict = await house.audit(ledger.order_ids, poison=poison)
    report.audits += 1
    orders = ledger.orders[before:]
    try:
        await customers.check_ends(orders)
        await customers.check_repeats(orders[-SAMPLE:])
    except GaveUp as error:
        outcome.wrong.append(str(error))
    outcome.acknowledged = len(orders)
    outcome.settled = verdict.seconds
    outcome.wrong += [*load.gave_up, *verdict.breaches, *ledger.wrong[wrong_before:]]
    report.add(outcome, to=report.faults)


def plan_of(environment: os._Environ[str] | dict[str, str] = os.environ, *, short: bool) -> Plan:
    """What `SEED`, `ONLY`, `PART` and `PAIRS` ask for; a seed that nobody chose is drawn, and printed by the run."""
    seed = environment.get("SEED")
    return Plan(
        short=short,
        seed=int(seed) if seed else int.from_bytes(os.urandom(4)),
        only=environment.get("ONLY", ""),
        pairs=int(environment.get("PAIRS") or Plan.pairs),
        part=environment.get("PART", ""),
    )
