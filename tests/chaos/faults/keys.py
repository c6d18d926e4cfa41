"""Keys that change while they are in use, and certificates that are no longer good."""

import asyncio
import json
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from typing import Final

from cli.local.certificates import certificate_pem, certificates_in, new_leaf
from cli.local.home import Home
from cli.local.pki import exclusive, files_of
from cli.local.projection import publish
from cli.local.rotation import require_trust
from cli.local.signing_keys import signing_keys
from tests.chaos.faults.fault import Fault
from tests.chaos.house import House
from tests.chaos.load import Load
from tests.chaos.outcome import Outcome
from tests.journeys.running import wait_for

BETWEEN: Final = 4
"""Orders that are acknowledged before and after."""

LEAD: Final = timedelta(seconds=120)
"""How long a signing key is only published, as `zoco up` has it."""

AGE: Final = timedelta(hours=2)
LIFE: Final = timedelta(seconds=20)
"""Of the certificate that runs out while it is in use: shorter than a supervisor needs to renew it."""

NOTICED: Final = 60.0
"""Seconds within which a log tells of a certificate."""


async def rotated(house: House, load: Load, outcome: Outcome) -> None:
    """Replaces the key of tokens, all certificates and their authority; no customer needs a second try."""
    await load.until(BETWEEN)
    before = len(load.repeated)
    await asyncio.to_thread(house.shop.zoco, "keys", "rotate", "signing")
    newest = signing_keys(Home(house.shop.home).pki / "tokens", LEAD)[-1]
    await asyncio.to_thread(house.shop.zoco, "keys", "rotate", "leaf")
    await asyncio.to_thread(house.shop.zoco, "keys", "rotate", "ca")
    until_it_signs = (newest.signs_from - datetime.now(UTC)).total_seconds()
    await asyncio.sleep(max(0.0, until_it_signs) + 1)  # nobody can hasten it: verifiers are given this time
    orders = 3 * BETWEEN
    await load.until(orders)
    again = load.repeated[before:]
    outcome.notes.append(f"signing key, certificates and authority, {len(again)} calls tried again")
    outcome.wrong += [f"not answered at the first try: {each}" for each in again]


async def replaced_by_an_expired_one(house: House, load: Load, outcome: Outcome) -> None:
    """Payment's certificate is replaced by one of yesterday: it keeps its own, and dead it does not start again."""
    await load.until(BETWEEN)
    valid_until = _issue(house, "payment", datetime.now(UTC) - AGE, AGE / 2)
    try:
        await _told(house, "payment", "the new identity cannot be used; the old one stays", valid_until, outcome)
        await load.until(BETWEEN)
        # Once more: the supervisor looks every minute, and has perhaps renewed it by now.
        valid_until = _issue(house, "payment", datetime.now(UTC) - AGE, AGE / 2)
        await asyncio.to_thread(house.shop.kill, "payment")
        await _told(house, "payment", "cannot start", valid_until, outcome)
    finally:
        await asyncio.to_thread(house.shop.zoco, "keys", "rotate", "leaf", "--workload", "payment")
    await _next_order(load, outcome)


async def ran_out(house: House, load: Load, outcome: Outcome) -> None:
    """Payment's certificate runs out while it is in use: who opens a connection to it refuses it."""
    await load.until(BETWEEN)
    try:
        valid_until = await _outlived(house, "payment")
        await asyncio.to_thread(house.shop.kill, "order")  # which has to open a connection, then
        await _told(house, "order", "a neighbour's certificate is refused", valid_until, outcome)
    finally:
        await asyncio.to_thread(house.shop.zoco, "keys", "rotate", "leaf", "--workload", "payment")
    await _next_order(load, outcome)


async def _outlived(house: House, workload: str) -> datetime:
    """Gives a workload a certificate that has run out when this returns; tells when it did.

    The supervisor looks once a minute and renews what is about to end. If it came by in between, this begins anew: the
    next look is further away than such a certificate lasts.
    """
    current = Home(house.shop.home).pki / workload / "cert.pem"
    for _ in range(2):
        valid_until = _issue(house, workload, datetime.now(UTC), LIFE)
        await asyncio.sleep((valid_until - datetime.now(UTC)).total_seconds() + 1)  # nobody can hasten it
        if certificates_in(current)[0].not_valid_after_utc == valid_until:
            return valid_until
    raise AssertionError(f"the certificate of {workload} was renewed twice within {2 * LIFE}")


def _issue(house: House, workload: str, since: datetime, life: timedelta) -> datetime:
    """Gives a workload a certificate of the shop's own authority; tells when it ends."""
    pki = Home(house.shop.home).pki
    with exclusive(pki):
        trust = require_trust(pki)
        leaf = new_leaf(workload, trust.issuer, since, life=life)
        publish(pki / workload, files_of(leaf, certificate_pem(*trust.bundle)))
    return leaf.certificate.not_valid_after_utc


async def _told(house: House, process: str, what: str, valid_until: datetime, outcome: Outcome) -> None:
    """Waits until a log tells of payment's certificate: whose it is, what is wrong with it, until when it was good."""
    line = await asyncio.to_thread(_find, house, process, lambda text: what in text)
    said = ("spiffe://zoco.local/payment", "expired", f"{valid_until:%Y-%m-%d}", f"{valid_until:%H:%M:%S}")
    missing = [each for each in said if each not in line]
    outcome.notes.append(f"{process}: {what}")
    if missing:
        outcome.wrong.append(f"{process} does not say {', '.join(missing)}: {line}")


def _find(house: House, process: str, is_wanted: Callable[[str], bool]) -> str:
    found: list[str] = []

    def is_there() -> bool:
        found[:] = [text for text in map(json.dumps, house.shop.logs(process)) if is_wanted(text)]
        return bool(found)

    wait_for(is_there, NOTICED, f"word of {process}")
    return found[-1]


async def _next_order(load: Load, outcome: Outcome) -> None:
    began = asyncio.get_running_loop().time()
    await load.until(1)
    outcome.notes.append(f"next order after {asyncio.get_running_loop().time() - began:.1f} s")
    await load.until(BETWEEN)


FAULTS: Final = (
    Fault("keys-rotated", "signing key, certificates and their authority replaced under load: no call fails", rotated),
    Fault(
        "certificate-expired",
        "payment's certificate replaced by an expired one, and payment killed",
        replaced_by_an_expired_one,
    ),
    Fault("certificate-ran-out", "payment's certificate runs out while it is in use, and order is killed", ran_out),
)
