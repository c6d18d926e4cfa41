"""The route of one RPC, the same at the edge and in every sidecar."""

from datetime import timedelta

from gateway.xds import Message, header_is
from mesh.wire import json_duration


def rpc_route(path: str, cluster: str, deadline: timedelta) -> Message:
    """Give the route of one RPC.

    The deadline counts from the request's headers, and is what the service finds in grpc-timeout. A client's own
    grpc-timeout may shorten it, not lengthen it.
    """
    return {
        "name": path.removeprefix("/"),
        "match": {
            "path": path,
            "headers": [
                header_is(":method", "POST"),
                # With `+proto`, and as gRPC-Web: the filter that makes gRPC of it runs after the route was looked up.
                {"name": "content-type", "string_match": {"prefix": "application/grpc"}},
            ],
        },
        "route": {
            "cluster": cluster,
            "timeout": "0s",
            "max_stream_duration": {
                "grpc_timeout_header_max": json_duration(deadline),
                "max_stream_duration": json_duration(deadline),
            },
        },
    }
