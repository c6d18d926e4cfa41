"""What a sidecar says by itself, as the pipeline behind it would have said it: same code, same reason."""

from collections.abc import Collection, Iterator
from typing import Final

from google.rpc.code_pb2 import PERMISSION_DENIED, UNIMPLEMENTED

from gateway.replies import REPLIES, Reply, all_of, as_grpc, cel, status_is
from gateway.sidecar.runtime import SidecarRuntime
from gateway.xds import Message
from mesh.certificates import spiffe_id
from mesh.decision import EDGE
from zoco.mesh.v1 import error_reason_pb2

_FORBIDDEN: Final = 403
_NOT_EXPOSED: Final = Reply(
    _FORBIDDEN, PERMISSION_DENIED, error_reason_pb2.NOT_EXPOSED, "this call is not open to the outside"
)
_UNKNOWN: Final = Reply(_FORBIDDEN, UNIMPLEMENTED, error_reason_pb2.METHOD_UNKNOWN, "there is no such method")


def inbound_replies(paths: Collection[str], callers: Collection[str]) -> list[Message]:
    """Give the mappers for calls that others make. The first that matches is taken.

    Args:
        paths: every method there is behind it.
        callers: everybody who has a name; the refusal says it.
    """
    known = ", ".join(f"'{path}'" for path in sorted(paths))
    return [
        _forbidden(f"!(request.url_path in [{known}])", _UNKNOWN),
        _forbidden(_peer_is(spiffe_id(EDGE)), _NOT_EXPOSED),
        *(_forbidden(_peer_is(spiffe_id(name)), _not_allowed(name)) for name in sorted(callers) if name != EDGE),
        {"filter": status_is(_FORBIDDEN), **as_grpc(_not_allowed("this workload"))},
        *_everything_else(),
    ]


def outbound_replies(runtime: SidecarRuntime) -> list[Message]:
    """Give the mappers for calls that the own service makes."""
    return [{"filter": status_is(_FORBIDDEN), **as_grpc(_not_allowed(runtime.workload))}, *_everything_else()]


def _everything_else() -> Iterator[Message]:
    return ({"filter": status_is(reply.status), **as_grpc(reply)} for reply in REPLIES if reply.status != _FORBIDDEN)


def _not_allowed(caller: str) -> Reply:
    return Reply(
        _FORBIDDEN,
        PERMISSION_DENIED,
        error_reason_pb2.CALLER_NOT_ALLOWED,
        f"the contract does not let {caller} call this",
        metadata=(("workload", caller),) if " " not in caller else (),
    )


def _forbidden(condition: str, reply: Reply) -> Message:
    return {"filter": all_of(status_is(_FORBIDDEN), cel(condition)), **as_grpc(reply)}


def _peer_is(identity: str) -> str:
    return f"connection.uri_san_peer_certificate == '{identity}'"
