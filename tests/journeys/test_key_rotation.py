"""Certificates and their authority rotate under a shop that sells: no call fails, and a watch stays open."""

import asyncio
from pathlib import Path

import pytest
from cryptography import x509

from tests.journeys.conftest import Person, eventually
from tests.journeys.running import RunningShop
from tests.journeys.transports import Client, Json, Refused, Rest


def issuers(shop: RunningShop) -> set[str]:
    """Who signed the workloads' certificates."""
    files = (shop.home / "pki").glob("*/cert.pem")
    return {x509.load_pem_x509_certificate(Path(file).read_bytes()).issuer.rfc4514_string() for file in files}


def restarts_of(shop: RunningShop) -> dict[str, int]:
    return {name: each["restarts"] for name, each in shop.status().items()}


# Through one transport: what rotates is behind the edge.
@pytest.mark.parametrize("transport", [Rest], ids=["REST"], indirect=True)
async def test_nobody_notices_that_certificates_and_their_authority_rotate(
    shop: RunningShop, nobody: Client, buyer: Person, admin: Person
) -> None:
    before, restarts = issuers(shop), restarts_of(shop)
    ended = asyncio.Event()
    failures: list[str] = []
    answered = 0

    async def call(person: Client, method: str, request: Json) -> None:
        nonlocal answered
        while not ended.is_set():
            try:
                await person.call(method, request)
                answered += 1
            except Refused as refused:
                failures.append(f"{method}: {refused}")
            await asyncio.sleep(0.1)

    async def watch() -> None:
        async with buyer.client.watch("NotificationService.WatchNotifications") as messages:
            async for message in messages:
                assert "end" not in message, "the watch was ended"

    callers = [
        asyncio.create_task(call(nobody, "ProductService.ListProducts", {"pageSize": 2})),
        asyncio.create_task(call(buyer.client, "OrderService.ListOrders", {})),
        asyncio.create_task(call(buyer.client, "NotificationService.ListNotifications", {})),
        asyncio.create_task(call(admin.client, "UserService.GetUser", {"id": buyer.id})),
    ]
    watching = asyncio.create_task(watch())

    await asyncio.to_thread(shop.zoco, "keys", "rotate", "leaf")
    await asyncio.to_thread(shop.zoco, "keys", "rotate", "ca")
    calls = answered

    async def went_on() -> bool:
        return bool(failures) or answered > calls + 20

    await eventually(went_on, "call after the rotation")
    ended.set()
    await asyncio.gather(*callers)

    assert failures == []
    assert not watching.done(), "the watch ended"
    watching.cancel()
    after = issuers(shop)
    assert len(after) == 1
    assert after.isdisjoint(before)
    assert restarts_of(shop) == restarts
    assert all(each["state"] == "healthy" for each in shop.status().values())
