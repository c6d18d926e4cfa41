"""The pipeline over a real wire: who may call, for how long, how often, and what they see of a failure."""

import asyncio
from datetime import UTC, datetime, timedelta
from typing import Any

import grpc
import pytest
from google.rpc import error_details_pb2, status_pb2
from grpc_health.v1 import health_pb2
from grpc_health.v1.health_pb2_grpc import HealthStub

from mesh.errors import STATUS_DETAILS_KEY, from_rpc_error
from mesh.ids import uuid7
from mesh.pipeline import STAGES, stages_of
from mesh.policy import load_policy
from mesh.server import operator_methods
from tests.fixtures.servers import until
from tests.harness import Tokens
from tests.mesh.conftest import RunningProbe
from tests.mesh.probe import ProbeContract, status_of

OK = (grpc.StatusCode.OK, "")
UNAUTHENTICATED = grpc.StatusCode.UNAUTHENTICATED
DENIED = grpc.StatusCode.PERMISSION_DENIED


def test_the_stages_stand_in_the_order_that_their_reasons_demand() -> None:
    assert [rule.name for rule in STAGES] == [
        "shedding",
        "tracing",
        "metrics",
        "access_log",
        "errors",
        "deadline",
        "authentication",
        "authorization",
        "rate_limit",
        "cache",
        "validation",
        "standing",
        "idempotency",
    ]
    assert all(rule.reason for rule in STAGES)


EVERY_CALL = ("tracing", "metrics", "access_log", "errors", "deadline")


@pytest.mark.parametrize(
    ("path", "stages"),
    [
        pytest.param(
            "/zoco.product.v1.ProductService/GetProduct",
            ("shedding", *EVERY_CALL, "authentication", "authorization", "rate_limit", "cache", "validation"),
            id="a public read",
        ),
        pytest.param(
            "/zoco.order.v1.OrderService/GetOrder",
            ("shedding", *EVERY_CALL, "authentication", "authorization", "rate_limit", "validation"),
            id="a user's read",
        ),
        pytest.param(
            "/zoco.order.v1.OrderService/CreateOrder",
            ("shedding", *EVERY_CALL, "authentication", "authorization", "rate_limit", "validation", "idempotency"),
            id="a keyed change",
        ),
        pytest.param(
            "/zoco.order.v1.OrderService/WatchOrder",
            ("shedding", *EVERY_CALL, "authentication", "authorization", "rate_limit", "validation", "standing"),
            id="a watch",
        ),
        pytest.param(
            "/zoco.inventory.v1.InventoryService/ReserveStock",
            ("shedding", *EVERY_CALL, "authorization", "validation", "idempotency"),
            id="an internal change",
        ),
    ],
)
def test_a_method_has_only_the_stages_its_contract_asks_for(path: str, stages: tuple[str, ...]) -> None:
    assert stages_of(load_policy().methods[path]) == stages


def test_an_operators_method_is_neither_shed_nor_asked_for_a_token() -> None:
    for method in operator_methods().values():
        assert stages_of(method)[: len(EVERY_CALL) + 1] == (*EVERY_CALL, "authorization")


def test_a_stream_from_the_client_is_not_validated_as_one_message(contract: ProbeContract) -> None:
    assert "validation" not in stages_of(load_policy(contract.descriptors).methods["/probe.v1.ProbeService/Chat"])


async def test_a_health_check_has_no_stage_at_all(probe: RunningProbe) -> None:
    health = HealthStub(probe.service.channel())

    await health.Check(health_pb2.HealthCheckRequest())

    counted = probe.service.running.runtime.registry.get_sample_value
    labels = {"rpc_method": "grpc.health.v1.Health/Check", "rpc_response_status_code": "OK"}
    assert counted("rpc_server_call_duration_seconds_count", labels) is None


async def test_who_may_call_is_what_the_contract_says(probe: RunningProbe, tokens: Tokens) -> None:
    nobody, customer, admin = probe.stub(), probe.stub(token=tokens.customer()), probe.stub(token=tokens.admin())
    order, payment = probe.stub("order"), probe.stub("payment")
    request = probe.messages.EchoRequest(text="hi")

    assert await status_of(nobody.Echo(request)) == OK
    assert await status_of(order.Echo(request)) == OK
    assert await status_of(payment.Echo(request)) == (DENIED, "CALLER_NOT_ALLOWED")
    assert await status_of(nobody.Rule(request)) == (UNAUTHENTICATED, "TOKEN_MISSING")
    assert await status_of(customer.Rule(request)) == (DENIED, "ROLE_REQUIRED")
    assert await status_of(admin.Rule(request)) == OK
    assert await status_of(admin.Inside(request)) == (DENIED, "NOT_EXPOSED")
    assert await status_of(order.Inside(request)) == OK
    assert await status_of(payment.Inside(request)) == (DENIED, "CALLER_NOT_ALLOWED")


async def test_somebody_elses_resource_looks_as_if_it_did_not_exist(probe: RunningProbe, tokens: Tokens) -> None:
    me, other = uuid7(), uuid7()
    mine = probe.messages.OwnRequest(user={"id": me})
    theirs = probe.messages.OwnRequest(user={"id": other})
    capitals = probe.messages.OwnRequest(user={"id": me.upper()})
    myself = probe.messages.OwnRequest(user={"id": "me"})
    stub = probe.stub(token=tokens.customer(me))

    assert await status_of(stub.Own(mine)) == OK
    assert await status_of(stub.Own(capitals)) == OK
    assert (await stub.Own(myself)).text == me
    assert await status_of(stub.Own(theirs)) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert await status_of(probe.stub(token=tokens.admin(me)).Own(theirs)) == OK


async def test_a_workload_with_a_persons_token_may_no_more_than_that_person(
    probe: RunningProbe, tokens: Tokens
) -> None:
    me = uuid7()
    mine, theirs = (probe.messages.OwnRequest(user={"id": each}) for each in (me, uuid7()))
    request = probe.messages.EchoRequest(text="hi")
    for_me, for_admin = probe.stub("order", tokens.customer(me)), probe.stub("order", tokens.admin())

    assert await status_of(for_me.Own(mine)) == OK
    assert await status_of(for_me.Own(theirs)) == (grpc.StatusCode.NOT_FOUND, "RESOURCE_NOT_FOUND")
    assert await status_of(for_me.Rule(request)) == (DENIED, "ROLE_REQUIRED")
    assert await status_of(for_admin.Own(theirs)) == OK
    assert await status_of(for_admin.Rule(request)) == OK


async def test_a_workload_on_its_own_account_needs_no_person(probe: RunningProbe) -> None:
    assert await status_of(probe.stub("order").Own(probe.messages.OwnRequest(user={"id": uuid7()}))) == OK
    assert await status_of(probe.stub("order").Rule(probe.messages.EchoRequest(text="hi"))) == OK


@pytest.mark.parametrize(
    ("claims", "headers", "reason"),
    [
        ({"exp": timedelta(minutes=-1)}, {}, "TOKEN_EXPIRED"),
        ({"nbf": timedelta(minutes=1)}, {}, "TOKEN_INVALID"),
        ({"iss": "https://evil.example"}, {}, "TOKEN_INVALID"),
        ({"aud": "another"}, {}, "TOKEN_INVALID"),
        ({"sub": None}, {}, "TOKEN_INVALID"),
        ({"role": None}, {}, "TOKEN_INVALID"),
        ({"role": "ROOT"}, {}, "TOKEN_INVALID"),
        ({"jti": None}, {}, "TOKEN_INVALID"),
        ({}, {"kid": "unknown"}, "TOKEN_INVALID"),
        ({}, {"kid": "../../etc/passwd"}, "TOKEN_INVALID"),
        ({}, {"jku": "https://evil.example/jwks.json"}, "TOKEN_INVALID"),
        ({}, {"crit": ["x"], "x": 1}, "TOKEN_INVALID"),
        ({}, {"typ": "JWT"}, "TOKEN_INVALID"),
    ],
    ids=str,
)
async def test_a_token_that_does_not_hold_is_refused(
    probe: RunningProbe, tokens: Tokens, claims: dict[str, Any], headers: dict[str, Any], reason: str
) -> None:
    now = datetime.now(UTC)
    dated: dict[str, Any] = {name: now + each if isinstance(each, timedelta) else each for name, each in claims.items()}
    stub = probe.stub(token=tokens.mint(uuid7(), headers=headers, **{"role": "ADMIN", **dated}))

    assert await status_of(stub.Rule(probe.messages.EchoRequest())) == (UNAUTHENTICATED, reason)


@pytest.mark.parametrize(
    "header", ["garbage", "Bearer", "Bearer ", "Basic YTpi", "Bearer a.b.c", "Bearer " + "x" * 5000]
)
async def test_a_header_that_is_no_token_is_refused(probe: RunningProbe, header: str) -> None:
    stub = probe.stub(authorization=header)

    assert await status_of(stub.Rule(probe.messages.EchoRequest())) == (UNAUTHENTICATED, "TOKEN_INVALID")


async def test_two_tokens_at_once_are_refused(probe: RunningProbe, tokens: Tokens) -> None:
    stub = probe.stub(token=tokens.admin(), authorization=f"Bearer {tokens.admin()}")

    assert await status_of(stub.Rule(probe.messages.EchoRequest())) == (UNAUTHENTICATED, "TOKEN_INVALID")


async def test_a_token_signed_by_somebody_else_is_refused(probe: RunningProbe) -> None:
    stub = probe.stub(token=Tokens().admin())

    assert await status_of(stub.Rule(probe.messages.EchoRequest())) == (UNAUTHENTICATED, "TOKEN_INVALID")


async def test_on_a_public_method_an_expired_token_makes_its_bearer_anonymous(
    probe: RunningProbe, tokens: Tokens
) -> None:
    expired = tokens.mint(uuid7(), exp=datetime.now(UTC) - timedelta(minutes=1))

    answer = await probe.stub(token=expired).Echo(probe.messages.EchoRequest(text="hi"))

    assert answer.subject == ""


async def test_without_a_certificate_of_the_mesh_there_is_no_connection(probe: RunningProbe) -> None:
    stub = probe.contract.stubs.ProbeServiceStub(grpc.aio.insecure_channel(probe.service.address))

    assert await status_of(stub.Echo(probe.messages.EchoRequest(), timeout=5)) == (
        grpc.StatusCode.UNAVAILABLE,
        "DEPENDENCY_UNAVAILABLE",
    )


async def test_a_broken_rule_is_named_with_its_field(probe: RunningProbe) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await probe.stub().Echo(probe.messages.EchoRequest(text="x" * 11))

    error = from_rpc_error(refused.value)
    assert (error.reason, error.field_violations[0].field) == ("INVALID_FIELD", "text")


async def test_bytes_that_are_no_request_are_invalid_not_internal(probe: RunningProbe) -> None:
    call: Any = probe.service.channel().unary_unary("/probe.v1.ProbeService/Echo", lambda _: b"\xff\xff\xff", bytes)

    assert await status_of(call(None)) == (grpc.StatusCode.INVALID_ARGUMENT, "MALFORMED_REQUEST")


async def test_an_unexpected_exception_shows_the_caller_nothing(probe: RunningProbe) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as failed:
        await probe.stub().Misbehave(probe.messages.EchoRequest(text="crash"))

    assert failed.value.code() is grpc.StatusCode.INTERNAL
    assert "42" not in repr(failed.value)
    assert "RuntimeError" not in repr(failed.value)


async def test_an_error_carries_the_request_id_and_its_conditions(probe: RunningProbe) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await probe.stub(**{"x-request-id": "r-1"}).Misbehave(probe.messages.EchoRequest(text="refuse"))

    trailers = dict(refused.value.trailing_metadata())
    status = status_pb2.Status.FromString(trailers[STATUS_DETAILS_KEY])
    details = {each.TypeName(): each.value for each in status.details}
    assert error_details_pb2.RequestInfo.FromString(details["google.rpc.RequestInfo"]).request_id == "r-1"
    assert from_rpc_error(refused.value).preconditions[0].subject == "p1"


async def test_an_error_that_will_pass_says_when_to_come_back(probe: RunningProbe) -> None:
    with pytest.raises(grpc.aio.AioRpcError) as refused:
        await probe.stub().Misbehave(probe.messages.EchoRequest(text="busy"))

    assert dict(refused.value.trailing_metadata())["retry-after"] == "2"
    assert from_rpc_error(refused.value).retry_after == timedelta(milliseconds=1200)


async def test_a_call_ends_at_its_contracts_deadline_though_the_caller_would_wait(probe: RunningProbe) -> None:
    started = asyncio.get_running_loop().time()

    outcome = await status_of(probe.stub().Misbehave(probe.messages.EchoRequest(text="wait"), timeout=30))

    assert outcome == (grpc.StatusCode.DEADLINE_EXCEEDED, "DEADLINE_OVER")
    assert 0.9 < asyncio.get_running_loop().time() - started < 5
    assert probe.servicer.cancelled.is_set()


async def test_a_call_without_enough_time_left_is_not_begun(probe: RunningProbe) -> None:
    outcome = await status_of(probe.stub().Misbehave(probe.messages.EchoRequest(text="wait"), timeout=0.04))

    assert outcome[0] is grpc.StatusCode.DEADLINE_EXCEEDED
    assert not probe.servicer.cancelled.is_set()


async def test_a_client_that_goes_away_cancels_its_call(probe: RunningProbe) -> None:
    call = probe.stub().Misbehave(probe.messages.EchoRequest(text="wait"))
    counted = probe.service.running.runtime.registry.get_sample_value
    labels = {"rpc_method": "probe.v1.ProbeService/Misbehave", "rpc_response_status_code": "CANCELLED"}

    async with asyncio.timeout(5):
        await probe.servicer.waiting.wait()
        call.cancel()
        await probe.servicer.cancelled.wait()

    await until(lambda: counted("rpc_server_call_duration_seconds_count", labels) == 1)


async def test_a_repeat_gets_the_first_answer_and_has_no_effect(probe: RunningProbe, tokens: Tokens) -> None:
    stub = probe.stub(token=tokens.customer())
    request = probe.messages.OnceRequest(text="a", request_id="k")

    first = await stub.Once(request)
    by_header = await stub.Once(probe.messages.OnceRequest(text="a"), metadata=(("idempotency-key", "k"),))

    assert first.SerializeToString() == by_header.SerializeToString()
    assert probe.servicer.effects == 1


async def test_a_key_that_comes_with_another_request_is_refused(probe: RunningProbe, tokens: Tokens) -> None:
    stub = probe.stub(token=tokens.customer())
    await stub.Once(probe.messages.OnceRequest(text="a", request_id="k"))

    outcome = await status_of(stub.Once(probe.messages.OnceRequest(text="b", request_id="k")))

    assert outcome == (grpc.StatusCode.INVALID_ARGUMENT, "IDEMPOTENCY_KEY_REUSED")


async def test_another_persons_key_is_another_key(probe: RunningProbe, tokens: Tokens) -> None:
    for _ in range(2):
        await probe.stub(token=tokens.customer()).Once(probe.messages.OnceRequest(text="a", request_id="k"))

    assert probe.servicer.effects == 2


async def test_without_a_key_each_call_stands_for_itself(probe: RunningProbe, tokens: Tokens) -> None:
    stub = probe.stub(token=tokens.customer())
    for _ in range(2):
        await stub.Once(probe.messages.OnceRequest(text="a"))

    assert probe.servicer.effects == 2


async def test_twenty_at_once_with_one_key_have_one_effect(probe: RunningProbe, tokens: Tokens) -> None:
    stub = probe.stub(token=tokens.customer())
    request = probe.messages.OnceRequest(text="a", request_id="k")

    outcomes = await asyncio.gather(*(status_of(stub.Once(request)) for _ in range(20)))

    assert set(outcomes) <= {OK, (grpc.StatusCode.ABORTED, "IDEMPOTENT_CALL_RUNNING")}
    assert OK in outcomes
    assert probe.servicer.effects == 1


async def test_all_four_kinds_of_rpc_pass_the_pipeline(probe: RunningProbe, tokens: Tokens) -> None:
    me = uuid7()
    stub = probe.stub(token=tokens.customer(me))
    headers = (("authorization", f"Bearer {tokens.customer(me)}"),)
    requests = [probe.messages.EchoRequest(text=letter) for letter in "abc"]

    spelled = [answer async for answer in stub.Spell(probe.messages.EchoRequest(text="abc"))]
    collected = await stub.Collect(iter(requests), metadata=headers)
    chatted = [answer async for answer in stub.Chat(iter(requests), metadata=headers)]

    assert [answer.text for answer in spelled] == ["a", "b", "c"]
    assert collected.text == "abc"
    assert [answer.text for answer in chatted] == ["a", "b", "c"]
    assert {answer.subject for answer in [*spelled, collected, *chatted]} == {me}


async def test_a_stream_without_a_token_is_refused(probe: RunningProbe) -> None:
    async def drain() -> None:
        async for _ in probe.stub().Spell(probe.messages.EchoRequest(text="abc")):
            pass

    assert await status_of(drain()) == (UNAUTHENTICATED, "TOKEN_MISSING")


@pytest.mark.parametrize("kind", ["unary_unary", "unary_stream"])
async def test_an_unknown_method_is_unimplemented_and_says_so_with_details(probe: RunningProbe, kind: str) -> None:
    call: Any = getattr(probe.service.channel(), kind)("/probe.v1.ProbeService/None", bytes, bytes)(b"")

    outcome = await status_of(call if kind == "unary_unary" else anext(aiter(call)))

    assert outcome == (grpc.StatusCode.UNIMPLEMENTED, "METHOD_UNKNOWN")
    assert STATUS_DETAILS_KEY in dict(await call.trailing_metadata())
