"""MESH=envoy: every service behind a sidecar of its own, which may die like everybody else."""

import asyncio
from collections.abc import Awaitable, Callable

import grpc
import psutil
import pytest

from tests.journeys.conftest import Person, eventually, order_of
from tests.journeys.running import RunningShop
from tests.journeys.test_crashes import place
from tests.journeys.transports import Json, Refused, Rest

SERVICES = ("user", "product", "inventory", "order", "payment", "notification", "analytics")

# The same shop that all journeys in this mesh use.
pytestmark = pytest.mark.parametrize("shop", ["envoy"], indirect=True)
BY_REST = pytest.mark.parametrize("transport", [Rest], indirect=True)
"""What these tests are about is not how the edge was called."""


def test_each_service_has_a_sidecar_and_the_portal_has_none(shop: RunningShop) -> None:
    status = shop.status()

    assert {name for name in status if name.endswith(".sidecar")} == {f"{name}.sidecar" for name in SERVICES}
    assert "mesh envoy" in shop.zoco("status", check=False).stdout
    for name in SERVICES:
        listening = _loopback_ports(int(status[name]["pid"]))
        assert int(status[name]["port"]) in listening
        assert int(status[f"{name}.sidecar"]["port"]) not in listening


@BY_REST
@pytest.mark.parametrize("process", ["order.sidecar", "payment.sidecar"])
async def test_a_killed_sidecar_comes_back_and_no_order_is_lost(
    shop: RunningShop, buyer: Person, put_on_sale: Callable[[int], Awaitable[Json]], process: str
) -> None:
    product = await put_on_sale(20)
    placing = [
        asyncio.ensure_future(place(buyer, order_of(product["id"], requestId=f"{process}-{number}")))
        for number in range(10)
    ]
    killed = await asyncio.to_thread(shop.kill, process)
    orders = await asyncio.gather(*placing)

    async def all_confirmed() -> bool:
        try:
            listed = await buyer.call("OrderService.ListOrders")
        except Refused as refused:
            if refused.code is not grpc.StatusCode.UNAVAILABLE:  # its sidecar is on its way back
                raise
            return False
        return {each["id"] for each in listed["orders"] if each["state"] == "CONFIRMED"} == set(orders)

    assert len(set(orders)) == 10
    await eventually(all_confirmed, "confirmed orders", limit=60)
    await asyncio.to_thread(shop.wait_until_healthy)
    assert (await asyncio.to_thread(shop.status))[process]["pid"] != killed


@BY_REST
async def test_stopped_it_leaves_no_process_and_started_without_sidecars_it_has_all_it_had(
    shop: RunningShop, buyer: Person, put_on_sale: Callable[[int], Awaitable[Json]]
) -> None:
    product = await put_on_sale(3)
    order = await buyer.order(product["id"])
    pids = [int(each["pid"]) for each in (await asyncio.to_thread(shop.status)).values()]
    other = RunningShop(shop.home, shop.edge_port, mesh="inprocess")

    await asyncio.to_thread(shop.down)
    assert not any(psutil.pid_exists(pid) for pid in pids)
    await asyncio.to_thread(other.up)
    try:
        assert not [name for name in await asyncio.to_thread(other.status) if name.endswith(".sidecar")]
        assert (await buyer.call("OrderService.GetOrder", {"id": order["id"]})) == order
        assert "MESH=inprocess" in (await asyncio.to_thread(shop.zoco, "up", "--detach")).stdout
    finally:
        await asyncio.to_thread(other.down)
        await asyncio.to_thread(shop.up)
    assert (await buyer.call("OrderService.GetOrder", {"id": order["id"]})) == order


def _loopback_ports(pid: int) -> set[int]:
    return {each.laddr.port for each in psutil.Process(pid).net_connections() if each.status == psutil.CONN_LISTEN}
