"""A service behind a sidecar: whose word it takes on who calls. Without a sidecar that word counts nothing."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import grpc
import pytest
from pydantic import ValidationError

from cli.local.inner import inner_directory, issue_inner
from mesh.credentials import client_credentials
from mesh.settings import MeshSettings
from mesh.sidecar import FORWARDED, SERVICE, SIDECAR, workload_behind
from tests.harness import Harness, ServiceUnderTest
from tests.mesh.conftest import RunningProbe
from tests.mesh.probe import Probe, ProbeContract, probe_build, status_of

OK = (grpc.StatusCode.OK, "")
UNKNOWN = (grpc.StatusCode.UNAUTHENTICATED, "WORKLOAD_UNKNOWN")
DENIED = (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")
HASH = "0" * 64


def told(caller: str, by: str = "spiffe://zoco.local/product") -> str:
    """What the sidecar says of a caller."""
    return f"By={by};Hash={HASH};URI={caller}"


ORDER = told("spiffe://zoco.local/order")


@dataclass(frozen=True)
class Behind:
    """The probe behind a sidecar that this test plays."""

    service: ServiceUnderTest
    contract: ProbeContract
    inner: Path

    async def inside(self, *headers: tuple[str, str], identity: Path | None = None) -> tuple[grpc.StatusCode, str]:
        """Calls what only `order` may, over the inner port."""
        options = (("grpc.ssl_target_name_override", SERVICE), ("grpc.use_local_subchannel_pool", 1))
        credentials = client_credentials(identity or self.inner / SIDECAR)
        async with grpc.aio.secure_channel(self.service.address, credentials, options=options) as channel:
            stub = self.contract.stubs.ProbeServiceStub(channel)
            return await status_of(stub.Inside(self.contract.messages.EchoRequest(text="hi"), metadata=headers))


@pytest.fixture
async def behind(harness: Harness, contract: ProbeContract, tmp_path: Path) -> AsyncIterator[Behind]:
    made: list[Probe] = []
    issue_inner(tmp_path, ["product"])
    inner = inner_directory(tmp_path, "product", SERVICE).parent
    settings: dict[str, Any] = {
        "ZOCO_DESCRIPTORS": contract.descriptors,
        "ZOCO_MESH": "envoy",
        "ZOCO_SIDECAR": "127.0.0.1:1",
        "ZOCO_PKI_DIR": inner / SERVICE,
    }
    async with harness.running("product", probe_build(contract, made), **settings) as service:
        yield Behind(service, contract, inner)


async def test_it_believes_its_own_sidecar_about_who_calls(behind: Behind) -> None:
    assert await behind.inside((FORWARDED, ORDER)) == OK
    assert await behind.inside((FORWARDED, told("spiffe://zoco.local/payment"))) == DENIED


async def test_it_believes_nobody_else_not_even_itself(behind: Behind) -> None:
    assert await behind.inside((FORWARDED, ORDER), identity=behind.inner / SERVICE) == UNKNOWN


@pytest.mark.parametrize("identity", ["product", "order", "edge", "operator"])
async def test_no_workloads_certificate_opens_the_inner_port(behind: Behind, pki: Path, identity: str) -> None:
    code, _ = await behind.inside((FORWARDED, ORDER), identity=pki / identity)

    assert code is grpc.StatusCode.UNAVAILABLE


@pytest.mark.parametrize(
    "headers",
    [
        pytest.param((), id="nothing"),
        pytest.param((ORDER, ORDER), id="two elements in two headers"),
        pytest.param((f"{ORDER},{ORDER}",), id="two elements"),
        pytest.param((f"{ORDER};URI=spiffe://zoco.local/edge",), id="two names"),
        pytest.param(
            (told("spiffe://zoco.local/order", by="spiffe://zoco.local/payment"),), id="somebody else's sidecar"
        ),
        pytest.param((told("spiffe://elsewhere.local/order"),), id="another trust domain"),
        pytest.param((told("spiffe://zoco.local/order/service"),), id="an inner name"),
        pytest.param((told("spiffe://zoco.local/order\n"),), id="a line's end"),
        pytest.param((told('"spiffe://zoco.local/order"'),), id="quotes"),
        pytest.param(("URI=spiffe://zoco.local/order",), id="a part"),
        pytest.param((told(""),), id="no name"),
    ],
)
def test_a_word_that_is_not_exactly_a_sidecars_names_nobody(headers: tuple[str, ...]) -> None:
    identify = workload_behind("product")

    assert identify(_Context(b"spiffe://zoco.local/product/sidecar"), {FORWARDED: ORDER}) == "order"
    assert identify(_Context(b"spiffe://zoco.local/product/sidecar"), {FORWARDED: ",".join(headers)}) is None


@pytest.mark.parametrize("peer", [b"spiffe://zoco.local/order/sidecar", b"spiffe://zoco.local/order", b""])
def test_another_peer_than_the_own_sidecar_names_nobody(peer: bytes) -> None:
    assert workload_behind("product")(_Context(peer), {FORWARDED: ORDER}) is None


async def test_without_a_sidecar_the_header_counts_nothing(probe: RunningProbe) -> None:
    request = probe.messages.EchoRequest(text="hi")
    spoofed = ((FORWARDED, ORDER),)

    assert await status_of(probe.stub("payment").Inside(request, metadata=spoofed)) == DENIED
    assert await status_of(probe.stub("order").Inside(request)) == OK


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        ({"ZOCO_SIDECAR": None}, "ZOCO_SIDECAR: must say where the sidecar listens"),
        ({"ZOCO_LISTEN": "0.0.0.0:50051"}, "ZOCO_LISTEN: must be a loopback address"),
        ({"ZOCO_SIDECAR": "10.0.0.1:50053"}, "ZOCO_SIDECAR: must be a loopback address"),
        ({"ZOCO_MESH": "linkerd"}, "ZOCO_MESH"),
    ],
)
def test_settings_that_would_open_the_inside_are_refused(pki: Path, changes: dict[str, Any], sentence: str) -> None:
    good = {"ZOCO_MESH": "envoy", "ZOCO_SIDECAR": "127.0.0.1:50053", "ZOCO_PKI_DIR": pki / "product"}
    MeshSettings.model_validate(good)

    with pytest.raises(ValidationError, match=sentence):
        MeshSettings.model_validate({**good, **changes})


class _Context:
    """As much of a call's context as tells whose certificate the peer has shown."""

    def __init__(self, peer: bytes) -> None:
        self._peer = peer

    def peer(self) -> str:
        return "ipv4:127.0.0.1:50000"

    def peer_identities(self) -> list[bytes]:
        return [self._peer]

    def auth_context(self) -> dict[str, list[bytes]]:
        return {"peer_spiffe_id": [self._peer]}
