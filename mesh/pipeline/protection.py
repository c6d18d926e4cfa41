"""Stages that protect a service: errors, deadline, authentication, authorization, validation."""

import asyncio
import math
from dataclasses import replace
from typing import Any, Final

import grpc
import protovalidate
from google.protobuf.message import Message

from mesh.call import enter
from mesh.errors import (
    STATUS_DETAILS_KEY,
    DeadlineExceeded,
    FieldViolation,
    InvalidArgument,
    MeshError,
    PermissionDenied,
    Unauthenticated,
    internal,
    not_found,
    to_status,
)
from mesh.logs import logger
from mesh.metrics import Metrics
from mesh.pipeline.exchange import Exchange, Next, Stage
from mesh.pipeline.idempotency import StoredError
from mesh.policy import Audience, MethodPolicy
from mesh.tokens import TokenVerifier
from mesh.wire import canonical_id

_log = logger("rpc")

RETRY_AFTER: Final = "retry-after"

EDGE: Final = "edge"
"""The workload through which everybody outside comes."""

MIN_BUDGET: Final = 0.05
"""Seconds that must be left for a call to be begun: less, and its answer would come too late."""


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
                await refuse(exchange, error)
            except Exception:  # noqa: BLE001 - the outermost place that can keep a stack trace from the caller
                _log.exception("unexpected error", method=exchange.policy.path)
                await refuse(exchange, internal())

        async def refuse(exchange: Exchange, error: MeshError) -> None:
            exchange.code, exchange.reason = error.code, error.reason
            metrics.refusals.labels("service", error.reason).inc()
            trailers: list[tuple[str, str | bytes]] = [(STATUS_DETAILS_KEY, render(error, exchange))]
            if error.retry_after is not None:
                # For whoever reads no details: the edge turns it into the header (RFC 9110, 10.2.3), in whole seconds.
                trailers.append((RETRY_AFTER, str(max(1, math.ceil(error.retry_after.total_seconds())))))
            await exchange.context.abort(error.code, error.message, tuple(trailers))

        def render(error: MeshError, exchange: Exchange) -> bytes:
            if isinstance(error, StoredError):
                return error.status
            status: bytes = to_status(error, request_id=exchange.call.request_id).SerializeToString()
            return status

        return translate

    return stage


def _code_of(exchange: Exchange) -> grpc.StatusCode:
    code = exchange.context.code()
    return code if isinstance(code, grpc.StatusCode) else grpc.StatusCode.UNKNOWN


def deadline_stage(policy: MethodPolicy, proceed: Next) -> Next:
    """Ends a call when the contract's deadline or the caller's is over, whichever comes first."""
    longest = policy.deadline.total_seconds()

    async def limit(exchange: Exchange) -> Any:
        remaining = exchange.context.time_remaining()
        seconds = longest if remaining is None else min(longest, remaining)
        if seconds < MIN_BUDGET:
            raise DeadlineExceeded("DEADLINE_TOO_SHORT", "less than 50 ms were left; the call was not begun")
        exchange.call = replace(exchange.call, deadline=asyncio.get_running_loop().time() + seconds)
        enter(exchange.call)
        timer = asyncio.timeout(seconds)
        try:
            async with timer:
                return await proceed(exchange)
        except TimeoutError as over:
            if not timer.expired():
                raise  # a time-out of the service's own making, not the call's
            raise DeadlineExceeded("DEADLINE_OVER", "the call took longer than it may") from over

    return limit


def authentication_stage(verifier: TokenVerifier) -> Stage:
    """Establishes on whose behalf the call is made, from the access token.

    A PUBLIC method serves everybody, so a token that does not hold makes the caller anonymous there: otherwise nobody
    could refresh an expired one.
    """

    def stage(policy: MethodPolicy, proceed: Next) -> Next:
        optional = policy.audience is Audience.PUBLIC

        async def authenticate(exchange: Exchange) -> Any:
            header = exchange.metadata.get("authorization")
            if header is not None:
                try:
                    subject = await verifier.verify(header)
                except MeshError:
                    if not optional:
                        raise
                else:
                    exchange.call = replace(exchange.call, subject=subject)
                    enter(exchange.call)
            return await proceed(exchange)

        return authenticate

    return stage


def authorization_stage(policy: MethodPolicy, proceed: Next) -> Next:
    """Decides from the contract whether this workload and this person may call.

    From outside: the audience decides. From inside: the list of callers. The owner field decides on the decoded
    message, never on a URL, and somebody else's resource looks as if it did not exist.
    """
    owner_path = policy.owner_field.split(".") if policy.owner_field else []
    resource = policy.service.split(".")[1]

    async def authorize(exchange: Exchange) -> Any:
        call = exchange.call
        if call.caller is None:
            raise Unauthenticated("WORKLOAD_UNKNOWN", "the caller showed no certificate of this mesh")
        if call.caller == EDGE:
            if policy.audience is Audience.NONE:
                raise PermissionDenied("NOT_EXPOSED", "this call is not open to the outside")
            if policy.needs_user and call.subject is None:
                raise Unauthenticated("TOKEN_MISSING", "this call needs an access token")
            if policy.audience is Audience.ADMIN and not call.is_admin:
                raise PermissionDenied(
                    "ROLE_REQUIRED", "this call is for administrators", metadata={"required": "ADMIN"}
                )
        elif call.caller not in policy.callers:
            raise PermissionDenied(
                "CALLER_NOT_ALLOWED",
                f"the contract does not let {call.caller} call this",
                metadata={"workload": call.caller},
            )
        if owner_path and call.caller == EDGE and not call.is_admin and isinstance(exchange.request, Message):
            owner: Any = exchange.request
            for name in owner_path:
                owner = getattr(owner, name)
            if owner != "me" and canonical_id(owner) != call.user_id:
                raise not_found(resource, str(owner))
        return await proceed(exchange)

    return authorize


def validation_stage(_: MethodPolicy, proceed: Next) -> Next:
    """Refuses a request that breaks a rule of its contract (protovalidate), naming every field at fault."""
    validator = protovalidate.Validator()

    async def validate(exchange: Exchange) -> Any:
        if isinstance(exchange.request, Malformed):
            raise InvalidArgument("MALFORMED_REQUEST", "the request could not be decoded")
        violations = validator.collect_violations(exchange.request)
        if violations:
            found = [
                FieldViolation(_path(violation.proto.field), violation.proto.message, violation.proto.rule_id)
                for violation in violations
            ]
            summary = "; ".join(f"{each.field}: {each.description}" for each in found[:3])
            raise InvalidArgument("INVALID_FIELD", summary, field_violations=found)
        return await proceed(exchange)

    return validate


def _path(field: Any) -> str:
    """The path of a violation as the contract spells it, such as `items[0].quantity`."""
    parts: list[str] = []
    for element in field.elements if field else ():
        subscript = element.subscript
        suffix = "" if subscript is None else f"[{subscript.value!r}]" if subscript.value is not None else ""
        parts.append(f"{element.field_name}{suffix}")
    return ".".join(parts)
