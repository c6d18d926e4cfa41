"""security.md, "functions": who may not call is refused, at the edge and at every service's own port."""

from collections.abc import Callable
from datetime import timedelta
from pathlib import Path

import grpc
import httpx
import pytest

from mesh.policy import Audience, MethodPolicy, load_policy
from tests.journeys.conftest import Person
from tests.journeys.running import RunningShop
from tests.journeys.transports import Rest
from tests.security.forging import certificate
from tests.security.inside import Inside, refusal

POLICY = load_policy()
SERVED = [method for method in POLICY.methods.values() if not method.client_streaming]
ADMIN_ONLY = [method for method in SERVED if method.audience is Audience.ADMIN]
INTERNAL = [method for method in SERVED if method.audience is Audience.NONE]
WORKLOADS = sorted(name for name, workload in POLICY.workloads.items() if workload.services)

one_transport = pytest.mark.parametrize("transport", [Rest], indirect=True, ids=["REST"])


@one_transport
@pytest.mark.parametrize("method", ADMIN_ONLY, ids=lambda method: method.path)
async def test_a_customer_may_call_nothing_that_is_for_administrators(
    shop: RunningShop, buyer: Person, inside: Inside, method: MethodPolicy
) -> None:
    bearer = [("authorization", f"Bearer {buyer.tokens['accessToken']}")]
    outside = grpc.aio.insecure_channel(shop.address)

    at_the_edge = await refusal(outside, method.path, metadata=bearer)
    behind_it = await refusal(inside.channel(method.workload, "edge"), method.path, metadata=bearer)
    await outside.close()

    assert at_the_edge.code is grpc.StatusCode.PERMISSION_DENIED
    assert (behind_it.code, behind_it.reason) == (grpc.StatusCode.PERMISSION_DENIED, "ROLE_REQUIRED")


@pytest.mark.parametrize("method", INTERNAL, ids=lambda method: method.path)
async def test_an_internal_method_can_not_be_called_through_the_edge(
    shop: RunningShop, inside: Inside, method: MethodPolicy
) -> None:
    outside = grpc.aio.insecure_channel(shop.address)
    assert (await refusal(outside, method.path)).code is grpc.StatusCode.UNIMPLEMENTED
    await outside.close()
    async with httpx.AsyncClient(base_url=f"http://{shop.address}") as client:
        for content_type in ("application/json", "application/grpc-web+proto", "application/grpc-web-text"):
            answer = await client.post(method.path, content=b"", headers={"content-type": content_type})
            assert answer.status_code == 404 or answer.headers["grpc-status"] == "12"

    # And whoever had the edge's own certificate would be refused by the service.
    refused = await refusal(inside.channel(method.workload, "edge"), method.path)
    assert refused.code is grpc.StatusCode.PERMISSION_DENIED


@pytest.mark.parametrize("method", SERVED, ids=lambda method: method.path)
async def test_a_workload_that_is_not_among_the_callers_is_refused(inside: Inside, method: MethodPolicy) -> None:
    for workload in ("notification", "operator", "cli", "order"):
        if workload not in method.callers and workload != method.workload:
            refused = await refusal(inside.channel(method.workload, workload), method.path)
            assert refused.code is grpc.StatusCode.PERMISSION_DENIED, workload


async def test_notification_can_not_call_capture(inside: Inside) -> None:
    refused = await refusal(inside.channel("payment", "notification"), "/zoco.payment.v1.PaymentService/Capture")

    assert refused.code is grpc.StatusCode.PERMISSION_DENIED


Identity = Callable[[RunningShop, Path], Path | None]


def _ours(*uris: str, names: tuple[str, ...] = (), valid: timedelta = timedelta(days=1)) -> Identity:
    """A certificate of the shop's own authority, for other names."""
    return lambda shop, place: certificate(place, uris=uris, names=names, authority=shop.home / "pki", valid=valid)


STRANGERS: dict[str, Identity] = {
    "no certificate": lambda _, __: None,
    "a foreign CA": lambda _, place: certificate(place, uris=["spiffe://zoco.local/order"]),
    "expired": _ours("spiffe://zoco.local/order", valid=timedelta(days=-1)),
    "SAN of another trust domain": _ours("spiffe://zoco.example/order"),
    "SAN with a longer path": _ours("spiffe://zoco.local/order/x"),
    "SAN with a query": _ours("spiffe://zoco.local/order?x"),
    "SAN that is no SPIFFE id": _ours("https://zoco.local/order"),
    "SAN of a name only": _ours(names=("order",)),
    "SAN of a name that reads like a SPIFFE id": _ours(names=("spiffe://zoco.local/order",)),
    "no SAN": _ours(),
    "SAN twice": _ours("spiffe://zoco.local/notification", "spiffe://zoco.local/order"),
    "a workload nobody knows": _ours("spiffe://zoco.local/stranger"),
}


@pytest.mark.parametrize("identity", STRANGERS)
@pytest.mark.parametrize("workload", WORKLOADS)
async def test_a_service_port_takes_nobody_without_a_certificate_of_this_mesh(
    shop: RunningShop, inside: Inside, tmp_path: Path, identity: str, workload: str
) -> None:
    channel = inside.channel(workload, STRANGERS[identity](shop, tmp_path / "stranger"))
    # Where there is one, a method that a genuine order could call.
    method = next(
        (each for each in POLICY.of_workload(workload) if "order" in each.callers), next(POLICY.of_workload(workload))
    )

    refused = await refusal(channel, method.path)

    assert refused.code in {
        grpc.StatusCode.UNAVAILABLE,  # the handshake failed
        grpc.StatusCode.UNAUTHENTICATED,
        grpc.StatusCode.PERMISSION_DENIED,
    }


async def test_the_genuine_certificate_is_taken_where_a_forged_one_is_not(
    shop: RunningShop, inside: Inside, tmp_path: Path
) -> None:
    genuine = certificate(tmp_path / "x", uris=["spiffe://zoco.local/order"], authority=shop.home / "pki")

    refused = await refusal(inside.channel("payment", genuine), "/zoco.payment.v1.PaymentService/Capture")

    assert refused.code is grpc.StatusCode.INVALID_ARGUMENT  # past the door: only now is the request looked at


@pytest.mark.parametrize("workload", WORKLOADS)
async def test_a_service_port_takes_no_plaintext(inside: Inside, workload: str) -> None:
    method = next(POLICY.of_workload(workload))

    refused = await refusal(inside.plaintext(workload), method.path)

    assert refused.code is grpc.StatusCode.UNAVAILABLE
