"""One audit: waits for rest if it is asked to, reads every database, and holds the facts against each other."""

import asyncio
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from http.client import HTTPException
from typing import Final

from cli.audit.comparison import Audit, compare, conclude
from cli.audit.logs import examine_logs
from cli.audit.target import Target, consumers_in
from cli.local.probes import http_json
from mesh.audit import Facts, Finding, Invariant, Scope
from mesh.audit.reading import CannotLook, read, unfinished

QUIET: Final = timedelta(seconds=60)
"""What was not changed for so long counts as at rest: the time within which an order has its outcome."""

DELIVERED: Final = timedelta(days=14)
"""How long streams keep events (mesh/bus/nats.py): a consumer that is younger never saw older ones."""

LOOKING: Final = timedelta(minutes=5)
"""How long an audit takes at most: what is dated later was dated by a clock that is wrong, and is judged."""

LOOKS: Final = 5
"""How often the broker is asked about events that wait there, before that counts."""

LOOK_AGAIN: Final = 0.25
"""Seconds between two looks whether everything is at rest."""


async def audit(
    target: Target,
    *,
    settle: float = 0.0,
    poison: int = 0,
    acknowledged: Sequence[str] = (),
) -> Audit:
    """What holds in a running system, and what does not.

    Args:
        target: The system; its databases and the rest.
        settle: Seconds to wait at most until everything is at rest. If it is by then, all is judged, however lately it
            was changed.
        poison: How many dead letters there should be.
        acknowledged: Ids of orders that clients were given.

    Raises:
        CannotLook: A database or the broker cannot be read.
    """
    settled = await _settled(target, settle) if settle else False
    began = datetime.now(UTC)
    scope = Scope(
        lately=(began, began + LOOKING) if settled else (began - QUIET, began + LOOKING),
        settled=settled,
        delivered_since=began - DELIVERED,
        secrets=[secret.encode() for secret in target.secrets],
        acknowledged=acknowledged,
    )
    facts = await _read(target, scope)
    findings = [finding for each in facts.values() for finding in each.findings]
    findings += compare(facts, target.contract, poison=poison)
    if target.monitor:
        findings.append(await _broker(target.monitor, settled=settled))
    if target.logs is not None:
        findings.append(await asyncio.to_thread(examine_logs, target.logs, scope.secrets))
    return conclude(findings)


async def _read(target: Target, scope: Scope) -> Mapping[str, Facts]:
    scopes = {service: replace(scope, connections=target.connections.get(service, {})) for service in target.databases}
    return await read(target.databases, scopes)


async def _settled(target: Target, seconds: float) -> bool:
    """Waits until nothing is under way anywhere; False if that does not come."""
    end = time.monotonic() + seconds
    while True:
        # Twice the same calm: between two services an event may just be on its way.
        if await _at_rest(target) and await _at_rest(target):
            return True
        if time.monotonic() >= end:
            return False
        await asyncio.sleep(LOOK_AGAIN)


async def _at_rest(target: Target) -> bool:
    waiting = [each.total for each in (await unfinished(target.databases)).values()]
    if target.monitor:
        waiting += [count for _, count in await _consumers(target.monitor)]
    return not any(waiting)


async def _broker(monitor: int, *, settled: bool) -> Finding:
    """What waits at the broker. While there is work, something always does: then the events themselves are compared."""
    consumers = await _consumers(monitor)
    waiting = {name: count for name, count in consumers if count and settled}
    for _ in range(LOOKS):
        if waiting:  # somebody may have begun something since
            await asyncio.sleep(LOOK_AGAIN)
            now = dict(await _consumers(monitor))
            waiting = {name: now[name] for name in waiting if now.get(name)}
    wrong = [f"{name}: {count} events wait" for name, count in waiting.items()]
    return Finding.of(Invariant.AT_REST, len(consumers), wrong)


async def _consumers(monitor: int) -> list[tuple[str, int]]:
    try:
        return consumers_in(await http_json(monitor, "/jsz?consumers=true"))
    except (OSError, HTTPException, ValueError) as error:
        raise CannotLook(f"the broker's monitor on port {monitor} does not answer: {error}") from error
