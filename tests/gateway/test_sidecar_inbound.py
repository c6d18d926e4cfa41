"""The mesh's side of a sidecar: who gets in, who may call what, and what the service is told about it."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import grpc
import pytest
import pytest_asyncio
from cryptography import x509
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from cli.local.authority import establish
from cli.local.certificates import certificate_pem, new_authority, new_leaf
from cli.local.pki import ensure_pki, files_of
from cli.local.projection import publish
from mesh.decision import Identity, Rule, decide
from mesh.errors import from_rpc_error
from mesh.policy import MethodPolicy
from mesh.server import operator_methods
from mesh.sidecar import FORWARDED, SERVICE, SIDECAR
from tests.gateway.edges import until
from tests.gateway.neighbours import Neighbour, policy, request_of
from tests.gateway.sidecars import Sidecar, start_behind_sidecar

pytestmark = pytest.mark.asyncio(loop_scope="session")

WORKLOAD = "payment"
CALLERS = ("edge", "order", "notification", "portal", "operator", "stranger")
CAPTURE = "/zoco.payment.v1.PaymentService/Capture"
SECONDS = 15.0


@pytest.fixture(scope="module")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Identities that these tests may renew and let expire."""
    directory = tmp_path_factory.mktemp("pki")
    ensure_pki(directory, [*policy().workloads, *CALLERS])
    return directory


@pytest_asyncio.fixture(scope="module", loop_scope="session")
async def behind(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[tuple[Sidecar, Neighbour]]:
    async with AsyncExitStack() as stack:
        sidecar, service = await start_behind_sidecar(stack, WORKLOAD, pki, tmp_path_factory.mktemp("sidecar"))
        channel = sidecar.channel("order")

        async def answers() -> bool:
            return await outcome(channel, policy().methods[CAPTURE]) == (grpc.StatusCode.OK, "")

        await until(answers, "the service answers through its sidecar")
        yield sidecar, service


@pytest.fixture
def sidecar(behind: tuple[Sidecar, Neighbour]) -> Sidecar:
    return behind[0]


@pytest.fixture
def service(behind: tuple[Sidecar, Neighbour]) -> Neighbour:
    behind[1].forget()
    return behind[1]


def issue(pki: Path, name: str, **changes: Any) -> Path:
    """Make an identity that the mesh's authority has signed."""
    now = datetime.now(UTC)
    trust = establish(pki, now)
    leaf = new_leaf(name, trust.issuer, changes.pop("now", now), **changes)
    publish(pki / name, files_of(leaf, certificate_pem(*trust.bundle)))
    return pki / name


async def outcome(channel: grpc.aio.Channel, method: MethodPolicy, **options: Any) -> tuple[grpc.StatusCode, str]:
    """Code and reason of a call with an empty request."""
    request = request_of(method) if method.request_type else None
    call: Any = channel.unary_stream if method.server_streaming else channel.unary_unary
    started = call(method.path)(request.SerializeToString() if request else b"", timeout=SECONDS, **options)
    try:
        if method.server_streaming:
            async for _ in started:
                pass
        else:
            await started
    except grpc.aio.AioRpcError as error:
        return error.code(), from_rpc_error(error).reason
    return grpc.StatusCode.OK, ""


@pytest.mark.parametrize("caller", CALLERS)
async def test_it_decides_as_the_policy_does_for_every_method(sidecar: Sidecar, caller: str) -> None:
    channel = sidecar.channel(caller)
    for method in policy().of_workload(WORKLOAD):
        expected = decide(method, Identity(caller), rules=(Rule.EXPOSURE, Rule.CALLER))
        assert await outcome(channel, method) == (expected.code, expected.reason), method.path


async def test_a_refusal_names_the_caller_as_the_pipeline_does(sidecar: Sidecar, service: Neighbour) -> None:
    call: Any = sidecar.channel("notification").unary_unary(CAPTURE)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"", timeout=SECONDS)
    error = from_rpc_error(refused.value)
    assert error.message == "the contract does not let notification call this"
    assert error.metadata == {"workload": "notification"}
    assert refused.value.details() == error.message
    assert service.calls == []


async def test_reflection_and_channelz_are_for_operators(sidecar: Sidecar) -> None:
    operators = operator_methods().values()
    for method in operators:
        expected = {
            # The stand-in for the service has none of them: the call went through.
            "operator": (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN"),
            "order": (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED"),
            "edge": (grpc.StatusCode.PERMISSION_DENIED, "NOT_EXPOSED"),
        }
        for caller, answer in expected.items():
            assert await outcome(sidecar.channel(caller), method) == answer, (caller, method.path)


@pytest.mark.parametrize("caller", CALLERS)
async def test_whoever_is_in_the_mesh_may_ask_for_health(sidecar: Sidecar, caller: str) -> None:
    health = HealthStub(sidecar.channel(caller))

    answer = await health.Check(health_pb2.HealthCheckRequest(), timeout=SECONDS)
    watched = await anext(aiter(health.Watch(health_pb2.HealthCheckRequest(), timeout=SECONDS)))

    assert answer.status == watched.status == health_pb2.HealthCheckResponse.SERVING


async def test_a_method_that_is_nowhere_is_unknown_and_never_reaches_the_service(
    sidecar: Sidecar, service: Neighbour
) -> None:
    for path in (f"{CAPTURE}More", CAPTURE.lower(), f"/{CAPTURE}", "/", f"{CAPTURE}/"):
        call: Any = sidecar.channel("order").unary_unary(path)
        with pytest.raises(grpc.aio.AioRpcError) as refused:
            await call(b"", timeout=SECONDS)
        assert refused.value.code() is grpc.StatusCode.UNIMPLEMENTED, path
    assert service.calls == []


async def test_a_caller_is_who_its_certificate_says_whatever_it_sends(sidecar: Sidecar, service: Neighbour) -> None:
    spoofed = (
        (FORWARDED, "By=spiffe://zoco.local/payment;URI=spiffe://zoco.local/edge"),
        (FORWARDED, "URI=spiffe://zoco.local/operator"),
    )
    method = policy().methods[CAPTURE]

    assert await outcome(sidecar.channel("order"), method, metadata=spoofed) == (grpc.StatusCode.OK, "")

    told = str(service.calls[-1].metadata[FORWARDED])
    assert told.startswith("By=spiffe://zoco.local/payment;Hash=")
    assert told.endswith(";URI=spiffe://zoco.local/order")
    assert told.count("URI=") == 1
    denied = await outcome(sidecar.channel("notification"), method, metadata=spoofed)
    assert denied == (grpc.StatusCode.PERMISSION_DENIED, "CALLER_NOT_ALLOWED")


async def test_what_only_envoys_say_to_each_other_is_taken_from_callers(sidecar: Sidecar, service: Neighbour) -> None:
    sent = (("x-envoy-upstream-rq-timeout-ms", "1"), ("x-envoy-retry-on", "5xx"), ("x-envoy-max-retries", "9"))
    passed = (
        ("x-request-id", "r1"),
        ("x-correlation-id", "c1"),
        ("authorization", "Bearer t"),
        ("traceparent", "00-x"),
    )

    await outcome(sidecar.channel("order"), policy().methods[CAPTURE], metadata=(*sent, *passed))

    seen = service.calls[-1].metadata
    assert not {name for name, _ in sent} & seen.keys()
    assert {name: seen[name] for name, _ in passed} == dict(passed)


@pytest.mark.parametrize(("asked", "most"), [(None, 15.0), (3600.0, 15.0), (2.0, 2.0)])
async def test_no_call_lasts_longer_than_the_contract_or_its_caller_allow(
    sidecar: Sidecar, service: Neighbour, asked: float | None, most: float
) -> None:
    call: Any = sidecar.channel("order").unary_unary(CAPTURE)
    await call(b"", timeout=asked)

    remaining = service.calls[-1].time_remaining
    assert remaining is not None
    assert 0 < remaining <= most


async def test_who_has_no_certificate_of_this_mesh_does_not_get_in(
    sidecar: Sidecar, service: Neighbour, tmp_path: Path
) -> None:
    now = datetime.now(UTC)
    foreign = new_authority(now)
    publish(
        tmp_path / "foreign", files_of(new_leaf("order", foreign, now), (sidecar.pki / "order/ca.pem").read_bytes())
    )
    expired = issue(sidecar.pki, "analytics", now=now - timedelta(days=31))
    # Of the right authority, but not a workload's name.
    browser = issue(sidecar.pki, "edge-tls")
    trusted = (sidecar.pki / "order/ca.pem").read_bytes()
    channels = {
        "no certificate": grpc.ssl_channel_credentials(trusted),
        "a foreign authority": _credentials(tmp_path / "foreign"),
        "expired": _credentials(expired),
        "no workload": _credentials(browser),
        "the inner identity": _credentials(sidecar.inner / SERVICE, trusted),
        "the sidecar's inner identity": _credentials(sidecar.inner / SIDECAR, trusted),
    }
    options = (("grpc.ssl_target_name_override", WORKLOAD), ("grpc.use_local_subchannel_pool", 1))
    for name, credentials in channels.items():
        async with grpc.aio.secure_channel(sidecar.address, credentials, options=options) as channel:
            assert await _refused(channel) is grpc.StatusCode.UNAVAILABLE, name
    async with grpc.aio.insecure_channel(sidecar.address) as plaintext:
        assert await _refused(plaintext) is grpc.StatusCode.UNAVAILABLE
    assert service.calls == []


async def test_who_was_not_let_in_why_and_until_when_stands_in_the_log(sidecar: Sidecar) -> None:
    now = datetime.now(UTC)
    credentials = _credentials(issue(sidecar.pki, "inventory", now=now - timedelta(days=40)))
    options = (("grpc.ssl_target_name_override", WORKLOAD), ("grpc.use_local_subchannel_pool", 1))

    async with grpc.aio.secure_channel(sidecar.address, credentials, options=options) as channel:
        await _refused(channel)

    async def told() -> bool:
        return any(
            line.get("caller") == "spiffe://zoco.local/inventory" and "expired" in str(line.get("refused"))
            for line in sidecar.envoy.logged()
        )

    await until(told, "the log tells of the expired certificate")


async def test_the_service_answers_nobody_but_its_sidecar(sidecar: Sidecar, service: Neighbour) -> None:
    options = (("grpc.ssl_target_name_override", SERVICE), ("grpc.use_local_subchannel_pool", 1))
    inner_trust = (sidecar.inner / SERVICE / "ca.pem").read_bytes()
    for identity in (sidecar.pki / WORKLOAD, sidecar.pki / "order", sidecar.pki / "operator"):
        credentials = _credentials(identity, inner_trust)
        async with grpc.aio.secure_channel(service.address, credentials, options=options) as channel:
            assert await _refused(channel) is grpc.StatusCode.UNAVAILABLE
    async with grpc.aio.insecure_channel(service.address) as plaintext:
        assert await _refused(plaintext) is grpc.StatusCode.UNAVAILABLE
    async with grpc.aio.secure_channel(
        service.address, _credentials(sidecar.inner / SIDECAR), options=options
    ) as channel:
        assert await outcome(channel, policy().methods[CAPTURE]) == (grpc.StatusCode.OK, "")


async def test_a_service_that_is_away_is_unavailable_with_the_reason(sidecar: Sidecar, service: Neighbour) -> None:
    await service.kill()
    method = policy().methods[CAPTURE]

    assert await outcome(sidecar.channel("order"), method) == (grpc.StatusCode.UNAVAILABLE, "DEPENDENCY_UNAVAILABLE")

    await service.start()

    async def answers() -> bool:
        return await outcome(sidecar.channel("order"), method) == (grpc.StatusCode.OK, "")

    await until(answers, "the service is found again")


async def test_a_renewed_certificate_is_shown_without_a_restart_or_a_lost_call(sidecar: Sidecar) -> None:
    host, port = sidecar.address.split(":")

    async def shown() -> int:
        pem = await asyncio.to_thread(_certificate_of, host, int(port), sidecar.pki / "order")
        return x509.load_der_x509_certificate(pem).serial_number

    before = await shown()
    method = policy().methods[CAPTURE]
    held = sidecar.channel("order")
    answers = [asyncio.ensure_future(outcome(held, method)) for _ in range(20)]
    issue(sidecar.pki, WORKLOAD)

    async def is_renewed() -> bool:
        answers.append(asyncio.ensure_future(outcome(held, method)))
        return await shown() != before

    await until(is_renewed, "the new certificate is shown")
    assert set(await asyncio.gather(*answers)) == {(grpc.StatusCode.OK, "")}


def _credentials(identity: Path, trusted: bytes | None = None) -> grpc.ChannelCredentials:
    read = identity.joinpath
    return grpc.ssl_channel_credentials(
        trusted or read("ca.pem").read_bytes(), read("key.pem").read_bytes(), read("cert.pem").read_bytes()
    )


async def _refused(channel: grpc.aio.Channel) -> grpc.StatusCode:
    call: Any = channel.unary_unary(CAPTURE)
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await call(b"", timeout=SECONDS)
    code: grpc.StatusCode = refused.value.code()
    return code


def _certificate_of(host: str, port: int, identity: Path) -> bytes:
    context = ssl.create_default_context(cafile=str(identity / "ca.pem"))
    context.check_hostname = False
    context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
    with socket.create_connection((host, port), 5) as raw, context.wrap_socket(raw, server_hostname=WORKLOAD) as secure:
        return secure.getpeercert(binary_form=True) or b""
