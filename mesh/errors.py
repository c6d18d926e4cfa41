"""Typed errors: what a caller may see of a failure, and how it travels.

    MeshError
    ├── InvalidArgument      the request is wrong, whatever the state
    ├── Unauthenticated      who is calling is not known
    ├── PermissionDenied     who is calling may not
    ├── NotFound             no such resource, or somebody else's
    ├── AlreadyExists        what should be made is there
    ├── FailedPrecondition   the state does not allow it; repeating does not help
    ├── Aborted              somebody else was faster; repeating from the start helps
    ├── ResourceExhausted    a limit is used up; repeating later helps
    ├── DeadlineExceeded     the time is over
    ├── Unavailable          something needed is not reachable; repeating helps
    ├── Unimplemented        there is no such RPC
    └── Internal             our fault; the text says nothing, the log has the rest

Every error carries a reason out of `zoco.mesh.v1.ErrorReason` and goes over the wire as a google.rpc.Status (AIP-193).
The client side raises the same class again: a neighbour's error is caught by type and reason, never by text.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import timedelta
from typing import Final

import grpc
from google.protobuf.duration_pb2 import Duration
from google.protobuf.message import DecodeError, Message
from google.rpc import error_details_pb2, status_pb2

from zoco.mesh.v1.error_reason_pb2 import ErrorReason

DOMAIN: Final = "zoco"
"""The domain of every ErrorInfo."""

STATUS_DETAILS_KEY: Final = "grpc-status-details-bin"
"""Trailing metadata that holds the google.rpc.Status (gRPC's richer error model)."""


@dataclass(frozen=True)
class FieldViolation:
    """A rule that a field of the request breaks."""

    field: str
    """Path of the field as the contract spells it, such as `items[0].quantity`."""
    description: str
    """What it must be."""
    rule: str = ""
    """Id of the rule, where validation has one."""


@dataclass(frozen=True)
class Precondition:
    """A condition of the state that does not hold."""

    type: str
    """Kind of condition, such as `STOCK`."""
    subject: str
    """What it is about, such as a product id."""
    description: str
    """What is and what would have to be."""


class MeshError(Exception):
    """A failure that callers may see.

    Args:
        reason: A name of `zoco.mesh.v1.ErrorReason`.
        message: One sentence for a developer; nothing secret, nothing internal.
        metadata: Facts by which a program can decide, as the comment of the reason lists them.
        field_violations: The fields at fault.
        preconditions: The conditions at fault.
        resource: Type and name of the resource at fault.
        retry_after: When repeating makes sense.

    Raises:
        ValueError: The reason is none of the contract's.
    """

    code: grpc.StatusCode

    def __init__(
        self,
        reason: str,
        message: str,
        *,
        metadata: Mapping[str, str] | None = None,
        field_violations: Sequence[FieldViolation] = (),
        preconditions: Sequence[Precondition] = (),
        resource: tuple[str, str] | None = None,
        retry_after: timedelta | None = None,
    ) -> None:
        ErrorReason.Value(reason)  # a reason that is not in the contract is a bug of ours: ValueError
        super().__init__(message)
        self.reason = reason
        self.message = message
        self.metadata: dict[str, str] = dict(metadata or {})
        self.field_violations = tuple(field_violations)
        self.preconditions = tuple(preconditions)
        self.resource = resource
        self.retry_after = retry_after

    def __str__(self) -> str:
        return f"{self.code.name} {self.reason}: {self.message}"


class InvalidArgument(MeshError):
    """The request is wrong, whatever the state."""

    code = grpc.StatusCode.INVALID_ARGUMENT


class Unauthenticated(MeshError):
    """Who is calling is not known."""

    code = grpc.StatusCode.UNAUTHENTICATED


class PermissionDenied(MeshError):
    """Who is calling may not."""

    code = grpc.StatusCode.PERMISSION_DENIED


class NotFound(MeshError):
    """No such resource, or somebody else's: the caller cannot tell."""

    code = grpc.StatusCode.NOT_FOUND


class AlreadyExists(MeshError):
    """What should be made is there."""

    code = grpc.StatusCode.ALREADY_EXISTS


class FailedPrecondition(MeshError):
    """The state does not allow it; repeating does not help."""

    code = grpc.StatusCode.FAILED_PRECONDITION


class Aborted(MeshError):
    """Somebody else was faster; repeating from the start helps."""

    code = grpc.StatusCode.ABORTED


class ResourceExhausted(MeshError):
    """A limit is used up; repeating later helps."""

    code = grpc.StatusCode.RESOURCE_EXHAUSTED


class DeadlineExceeded(MeshError):
    """The time is over."""

    code = grpc.StatusCode.DEADLINE_EXCEEDED


class Unavailable(MeshError):
    """Something needed is not reachable; repeating helps."""

    code = grpc.StatusCode.UNAVAILABLE


class Unimplemented(MeshError):
    """There is no such RPC."""

    code = grpc.StatusCode.UNIMPLEMENTED


class Internal(MeshError):
    """Our fault; the text says nothing, the log has the rest."""

    code = grpc.StatusCode.INTERNAL


_BY_CODE: Final[Mapping[grpc.StatusCode, type[MeshError]]] = {
    error.code: error
    for error in (
        InvalidArgument,
        Unauthenticated,
        PermissionDenied,
        NotFound,
        AlreadyExists,
        FailedPrecondition,
        Aborted,
        ResourceExhausted,
        DeadlineExceeded,
        Unavailable,
        Unimplemented,
        Internal,
    )
}

# What a status without our ErrorInfo means: it was made by gRPC itself or by a proxy, not by a service.
_DEFAULT_REASON: Final[Mapping[grpc.StatusCode, str]] = {
    grpc.StatusCode.INVALID_ARGUMENT: "INVALID_FIELD",
    grpc.StatusCode.UNAUTHENTICATED: "TOKEN_INVALID",
    grpc.StatusCode.PERMISSION_DENIED: "CALLER_NOT_ALLOWED",
    grpc.StatusCode.NOT_FOUND: "RESOURCE_NOT_FOUND",
    grpc.StatusCode.ALREADY_EXISTS: "NAME_TAKEN",
    grpc.StatusCode.FAILED_PRECONDITION: "STATE_CONFLICT",
    grpc.StatusCode.ABORTED: "CONCURRENT_CHANGE",
    grpc.StatusCode.RESOURCE_EXHAUSTED: "OVERLOADED",
    grpc.StatusCode.DEADLINE_EXCEEDED: "DEADLINE_OVER",
    grpc.StatusCode.UNAVAILABLE: "DEPENDENCY_UNAVAILABLE",
    grpc.StatusCode.UNIMPLEMENTED: "METHOD_UNKNOWN",
}

_CODES: Final[Mapping[int, grpc.StatusCode]] = {code.value[0]: code for code in grpc.StatusCode}


def not_found(resource: str, name: str) -> NotFound:
    """The error for a resource that is missing, or belongs to somebody else."""
    return NotFound(
        "RESOURCE_NOT_FOUND",
        f"{resource} {name} does not exist",
        metadata={"resource": resource, "id": name},
        resource=(resource, name),
    )


def invalid_field(field: str, description: str) -> InvalidArgument:
    """The error for one field that breaks a rule which only the service can check."""
    return InvalidArgument(
        "INVALID_FIELD", f"{field}: {description}", field_violations=[FieldViolation(field, description)]
    )


def etag_stale(current: str) -> Aborted:
    """The error for an update of a version that is no longer current (AIP-154)."""
    return Aborted("ETAG_STALE", "the resource has changed; read it again", metadata={"etag": current})


def internal() -> Internal:
    """The error for a fault of ours; what happened stands in the log only."""
    return Internal("INTERNAL_ERROR", "internal error; the request id finds it in the log")


def to_status(error: MeshError, *, request_id: str) -> status_pb2.Status:
    """Renders an error as a google.rpc.Status with all details that apply, RequestInfo always."""
    status = status_pb2.Status(code=error.code.value[0], message=error.message)

    def attach(detail: Message) -> None:
        status.details.add().Pack(detail)

    attach(error_details_pb2.ErrorInfo(reason=error.reason, domain=DOMAIN, metadata=error.metadata))
    if error.field_violations:
        attach(
            error_details_pb2.BadRequest(
                field_violations=[
                    error_details_pb2.BadRequest.FieldViolation(
                        field=each.field, description=each.description, reason=each.rule
                    )
                    for each in error.field_violations
                ]
            )
        )
    if error.preconditions:
        attach(
            error_details_pb2.PreconditionFailure(
                violations=[
                    error_details_pb2.PreconditionFailure.Violation(
                        type=each.type, subject=each.subject, description=each.description
                    )
                    for each in error.preconditions
                ]
            )
        )
    if error.resource:
        attach(error_details_pb2.ResourceInfo(resource_type=error.resource[0], resource_name=error.resource[1]))
    if error.retry_after is not None:
        delay = Duration()
        delay.FromTimedelta(error.retry_after)
        attach(error_details_pb2.RetryInfo(retry_delay=delay))
    attach(error_details_pb2.RequestInfo(request_id=request_id))
    return status


def from_status(status: status_pb2.Status) -> MeshError:
    """Rebuilds the typed error that `to_status` rendered. A foreign status gets the default reason of its code."""
    code = _CODES.get(status.code, grpc.StatusCode.UNKNOWN)
    reason = ""
    metadata: dict[str, str] = {}
    field_violations: list[FieldViolation] = []
    preconditions: list[Precondition] = []
    resource: tuple[str, str] | None = None
    retry_after: timedelta | None = None
    for packed in status.details:
        match packed.TypeName():
            case "google.rpc.ErrorInfo":
                info = error_details_pb2.ErrorInfo.FromString(packed.value)
                reason, metadata = info.reason, dict(info.metadata)
            case "google.rpc.BadRequest":
                field_violations += [
                    FieldViolation(each.field, each.description, each.reason)
                    for each in error_details_pb2.BadRequest.FromString(packed.value).field_violations
                ]
            case "google.rpc.PreconditionFailure":
                preconditions += [
                    Precondition(each.type, each.subject, each.description)
                    for each in error_details_pb2.PreconditionFailure.FromString(packed.value).violations
                ]
            case "google.rpc.ResourceInfo":
                about = error_details_pb2.ResourceInfo.FromString(packed.value)
                resource = (about.resource_type, about.resource_name)
            case "google.rpc.RetryInfo":
                retry_after = error_details_pb2.RetryInfo.FromString(packed.value).retry_delay.ToTimedelta()
            case _:
                pass  # RequestInfo is for the log of whoever failed; newer details are for newer clients
    error_class = _BY_CODE.get(code, Internal)
    if reason not in ErrorReason.keys():  # noqa: SIM118 - an enum wrapper is no dict
        reason = _DEFAULT_REASON.get(code, "INTERNAL_ERROR")
    return error_class(
        reason,
        status.message,
        metadata=metadata,
        field_violations=field_violations,
        preconditions=preconditions,
        resource=resource,
        retry_after=retry_after,
    )


def from_rpc_error(error: grpc.aio.AioRpcError) -> MeshError:
    """Rebuilds the typed error out of what a stub raised."""
    return said(error) or from_status(status_pb2.Status(code=error.code().value[0], message=error.details() or ""))


def unanswered(error: grpc.aio.AioRpcError) -> MeshError:
    """Gives the typed error for a call that gRPC itself let fail, for whoever may pass it on to a caller of their own.

    Without gRPC's words: they name addresses and certificates.
    """
    text = "a service that this call needs did not answer"
    return from_status(status_pb2.Status(code=error.code().value[0], message=text))


def said(error: grpc.aio.AioRpcError) -> MeshError | None:
    """Gives what the other side said in details; None where gRPC itself let the call fail, or they are damaged."""
    for key, value in error.trailing_metadata() or ():
        if key == STATUS_DETAILS_KEY and isinstance(value, bytes):
            try:
                return from_status(status_pb2.Status.FromString(value))
            except DecodeError:
                return None
    return None
