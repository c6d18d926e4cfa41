"""Stages that protect a service: errors, deadline, authentication, authorization, validation."""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import lru_cache
from typing import Any, Final

import grpc
import protovalidate
from google.protobuf.message import Message

from mesh.decision import Decider, Decision, Identity, TokenState
from mesh.errors import (
    DeadlineExceeded,
    FieldViolation,
    InvalidArgument,
    MeshError,
    PermissionDenied,
    Unauthenticated,
    internal,
    not_found,
)
from mesh.logs import logger
from mesh.metrics import Metrics
from mesh.pipeline.alarms import Alarms
from mesh.pipeline.exchange import Exchange, Next, Stage
from mesh.pipeline.lengths import Limit, check_lengths, limits_of
from mesh.pipeline.refusal import refuse
from mesh.policy import Audience, MethodPolicy
from mesh.tokens import TokenVerifier

_log = logger("rpc")

MIN_BUDGET: Final = 0.05
"""Seconds that must be left for a call to be begun: less, and its answer would come too late."""

_PEOPLE: Final = 1000
"""Identities that a method remembers: to make one takes longer than to decide about it."""


class Malformed:
    """Stands in for a request whose bytes could not be decoded."""


def errors_stage(metrics: Metrics) -> Stage:
    """Turns exceptions into statuses with details. What is not a MeshError becomes INTERNAL; its story stays here."""

    def stage(_: MethodPolicy, proceed: Next) -> Next:
        async def translate(exchange: Exchange) -> Any:
            try:
                return await proceed(exchange)
            except asyncio.CancelledError:
                exchange.code = grpc.StatusCode.CANCELLED
                raise
            except grpc.aio.AbortError:
                exchange.code = _code_of(exchange)  # gRPC's own services end calls themselves
                raise
            except MeshError as error:
                await refuse(exchange, error, metrics)
            except Exception:  # noqa: BLE001 - the outermost place that can keep a stack trace from the caller
                _log.exception("unexpected error", method=exchange.policy.path)
                await refuse(exchange, internal(), metrics)

        return translate

    return stage


def _code_of(exchange: Exchange) -> grpc.StatusCode:
    code = exchange.context.code()
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def deadline_stage(policy: MethodPolicy, proceed: Next) -> Next:
    """Ends a call when the contract's deadline or the caller's is over, whichever comes first."""
    longest = policy.deadline.total_seconds()
    alarms = Alarms()

    async def limit(exchange: Exchange) -> Any:
        remaining = exchange.context.time_remaining()
        seconds = longest if remaining is None or remaining > longest else remaining
        if seconds < MIN_BUDGET:
            raise DeadlineExceeded("DEADLINE_TOO_SHORT", "less than 50 ms were left; the call was not begun")
        deadline = exchange.call.deadline = asyncio.get_running_loop().time() + seconds
        alarm = alarms.set(deadline)
        try:
            return await proceed(exchange)
        except asyncio.CancelledError as over:
            if alarm.rang and not alarm.take_back():
                raise DeadlineExceeded("DEADLINE_OVER", "the call took longer than it may") from over
            raise  # somebody else's: the caller went away, or the process ends
        finally:
            alarms.forget(alarm)

    return limit


def authentication_stage(verifier: TokenVerifier) -> Stage:
    """Establishes on whose behalf the call is made, from the access token.

    A token that does not hold is kept as the error it is: whether it matters, the contract's rules say. Where the keys
    cannot be had, only a PUBLIC method goes on.
    """

    def stage(policy: MethodPolicy, proceed: Next) -> Next:
        optional = policy.audience is Audience.PUBLIC

        def authenticate(exchange: Exchange) -> Awaitable[Any]:
            header = exchange.metadata.get("authorization")
            if header is not None:
                exchange.call.subject = verifier.recall(header)
                if exchange.call.subject is None:
                    return verify(header, exchange)
            return proceed(exchange)

        async def verify(header: str, exchange: Exchange) -> Any:
            try:
                exchange.call.subject = await verifier.verify(header)
            except Unauthenticated as bad:
                exchange.bad_token = bad
            except MeshError:
                if not optional:
                    raise
            return await proceed(exchange)

        return authenticate

    return stage


def authorization_stage(policy: MethodPolicy, proceed: Next) -> Next:
    """Lets pass whom the contract lets call, by the rules of `mesh.decision`.

    The owner rule looks at the decoded message, never at a URL; somebody else's resource looks as if it did not exist.
    """
    may_call = Decider(policy)
    owner_of = _owner_reader(policy)

    # Of a person without an owner in question, all that decides comes back call after call.
    @lru_cache(maxsize=_PEOPLE)
    def of_person(caller: str | None, person: str, role: str) -> tuple[Identity, Decision]:
        identity = Identity(caller, TokenState.VALID, person, role)
        return identity, may_call(identity)

    def of_nobody(exchange: Exchange) -> tuple[Identity, Decision]:
        bad = exchange.bad_token
        state = TokenState.NONE if bad is None else TokenState.INVALID
        if bad is not None and bad.reason == "TOKEN_EXPIRED":
            state = TokenState.EXPIRED
        identity = Identity(exchange.call.caller, state)
        return identity, may_call(identity)

    def authorize(exchange: Exchange) -> Awaitable[Any]:
        call, subject, owner = exchange.call, exchange.call.subject, None
        identity, decision = (
            of_nobody(exchange) if subject is None else of_person(call.caller, subject.id, subject.role)
        )
        if owner_of is not None:
            owner = owner_of(exchange.request)
            decision = may_call(identity, owner)
        if not decision.allowed:
            raise _refusal(decision, exchange, owner)
        return proceed(exchange)

    return authorize


def _owner_reader(policy: MethodPolicy) -> Callable[[Any], str | None] | None:
    """How to read the owner off a request; gives None where there is none. None if the contract names no field."""
    if not policy.owner_field:
        return None
    path = policy.owner_field.split(".")

    def read(request: Any) -> str | None:
        if not isinstance(request, Message):
            return None
        owner: Any = request
        for name in path:
            owner = getattr(owner, name)
        return str(owner)

    return read


def _refusal(decision: Decision, exchange: Exchange, owner: str | None) -> MeshError:
    """The error that a caller sees of a refusal."""
    caller = exchange.call.caller or ""
    match decision.reason:
        case "NOT_EXPOSED":
            return PermissionDenied("NOT_EXPOSED", "this call is not open to the outside")
        case "WORKLOAD_UNKNOWN":
            return Unauthenticated("WORKLOAD_UNKNOWN", "the caller showed no certificate of this mesh")
        case "CALLER_NOT_ALLOWED":
            text = f"the contract does not let {caller} call this"
            return PermissionDenied("CALLER_NOT_ALLOWED", text, metadata={"workload": caller})
        case "ROLE_REQUIRED":
            return PermissionDenied("ROLE_REQUIRED", "this call is for administrators", metadata={"required": "ADMIN"})
        case "RESOURCE_NOT_FOUND":
            return not_found(exchange.policy.service.split(".")[1], str(owner))
        case _:
            return exchange.bad_token or Unauthenticated("TOKEN_MISSING", "this call needs an access token")


def validation_stage(_: MethodPolicy, proceed: Next) -> Next:
    """Refuses a request that breaks a rule of its contract (protovalidate), naming every field at fault."""
    validator = protovalidate.Validator()
    limits: Sequence[Limit] | None = None

    def validate(exchange: Exchange) -> Awaitable[Any]:
        nonlocal limits
        if isinstance(exchange.request, Malformed):
            raise InvalidArgument("MALFORMED_REQUEST", "the request could not be decoded")
        if limits is None:
            limits = limits_of(exchange.request.DESCRIPTOR)
        if limits:
            check_lengths(exchange.request, limits)
        violations = validator.collect_violations(exchange.request)
        if violations:
            found = [
                FieldViolation(_path(violation.proto.field), violation.proto.message, violation.proto.rule_id)
                for violation in violations
            ]
            summary = "; ".join(f"{each.field}: {each.description}" for each in found[:3])
            raise InvalidArgument("INVALID_FIELD", summary, field_violations=found)
        return proceed(exchange)

    return validate


def _path(field: Any) -> str:
    """The path of a violation as the contract spells it, such as `items[0].quantity`."""
    parts: list[str] = []
    for element in field.elements if field else ():
        subscript = element.subscript
        suffix = "" if subscript is None else f"[{subscript.value!r}]" if subscript.value is not None else ""
        parts.append(f"{element.field_name}{suffix}")
    return ".".join(parts)
