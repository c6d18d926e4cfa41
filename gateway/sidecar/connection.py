"""What both listeners of a sidecar have: HTTP/2, limits, a log of calls that failed and of who was not let in."""

from collections.abc import Sequence
from typing import Final

from gateway.replies import cel
from gateway.runtime import Address
from gateway.upstream import HTTP2
from gateway.xds import Message, extension, socket_address
from mesh.credentials import CONNECTION_AGE_SECONDS
from mesh.wire import json_duration

# Envoy acts on these itself, whoever sent them.
_FORBIDDEN: Final[Sequence[Message]] = ({"prefix": "x-envoy-"},)

# Whatever the caller says of itself is replaced.
_IDENTITY_HEADERS: Final = {
    "forward_client_cert_details": "SANITIZE_SET",
    "set_current_client_cert_details": {"uri": True},
}


def listener(
    workload: str,
    name: str,
    address: Address,
    transport: Message,
    *,
    routes: Sequence[Message],
    filters: Sequence[Message],
    replies: Sequence[Message],
    tells_caller: bool,
) -> Message:
    """Give a listener.

    Args:
        workload: whose sidecar this is.
        name: `inbound` or `outbound`.
        address: where it listens.
        transport: its TLS.
        routes: of its one virtual host.
        filters: before the router.
        replies: mappers for what Envoy says by itself.
        tells_caller: whether it says whose certificate it has seen, in x-forwarded-client-cert.
    """
    router = extension(
        "envoy.filters.http.router",
        "envoy.extensions.filters.http.router.v3.Router",
        suppress_envoy_headers=True,
    )
    manager = extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix=name,
        codec_type="HTTP2",
        route_config={"name": name, "virtual_hosts": [{"name": name, "domains": ["*"], "routes": list(routes)}]},
        http_filters=[*filters, router],
        local_reply_config={"mappers": list(replies)},
        early_header_mutation_extensions=[_arrival()],
        access_log=[_calls(workload, name)],
        server_name=f"{workload}-sidecar",
        # Ids are those that the edge has set, and nobody inside is told where a client is.
        generate_request_id=False,
        use_remote_address=False,
        skip_xff_append=True,
        normalize_path=True,
        path_with_escaped_slashes_action="REJECT_REQUEST",
        common_http_protocol_options={
            "headers_with_underscores_action": "REJECT_REQUEST",
            "max_headers_count": 100,
            "idle_timeout": "3600s",
            # Whoever is trusted no more gets no new call through after this; calls in flight go on (decision 018).
            "max_connection_duration": json_duration(CONNECTION_AGE_SECONDS),
        },
        http2_protocol_options=HTTP2,
        max_request_headers_kb=32,
        request_headers_timeout="10s",
        # Nothing may pass this long in either direction: four heartbeats of a watch.
        stream_idle_timeout="60s",
        drain_timeout="5s",
        **(_IDENTITY_HEADERS if tells_caller else {"forward_client_cert_details": "SANITIZE"}),
    )
    return {
        "name": name,
        "address": socket_address(address),
        # Lets a drain end the one and leave the other.
        "traffic_direction": name.upper(),
        "per_connection_buffer_limit_bytes": 1024 * 1024,
        "filter_chains": [
            {"filters": [manager], "transport_socket": transport, "transport_socket_connect_timeout": "5s"}
        ],
        "access_log": [_handshakes(workload, name)],
    }


def _arrival() -> Message:
    return extension(
        "envoy.http.early_header_mutation.header_mutation",
        "envoy.extensions.http.early_header_mutation.header_mutation.v3.HeaderMutation",
        mutations=[{"remove_on_match": {"key_matcher": matcher}} for matcher in _FORBIDDEN],
    )


def _calls(workload: str, name: str) -> Message:
    """Log the calls that failed; the service logs what it has seen."""
    fields = {
        "listener": name,
        "path": "%REQ(:PATH)%",
        "grpcStatus": "%GRPC_STATUS%",
        "durationMs": "%DURATION%",
        "flags": "%RESPONSE_FLAGS%",
        "detail": "%RESPONSE_CODE_DETAILS%",
        "caller": "%DOWNSTREAM_PEER_URI_SAN%",
        "callee": "%UPSTREAM_CLUSTER%",
        "upstream": "%UPSTREAM_HOST%",
        "attempts": "%UPSTREAM_REQUEST_ATTEMPT_COUNT%",
        "upstreamTls": "%UPSTREAM_TRANSPORT_FAILURE_REASON%",
        "requestId": "%REQ(X-REQUEST-ID)%",
    }
    failed = {"grpc_status_filter": {"statuses": ["OK"], "exclude": True}}
    return _log(workload, fields, failed)


def _handshakes(workload: str, name: str) -> Message:
    """Log who was not let in, why, and until when its certificate holds."""
    fields = {
        "listener": name,
        "refused": "%DOWNSTREAM_TRANSPORT_FAILURE_REASON%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS%",
        "caller": "%DOWNSTREAM_PEER_URI_SAN%",
        "issuer": "%DOWNSTREAM_PEER_ISSUER%",
        "until": "%DOWNSTREAM_PEER_CERT_V_END%",
    }
    return _log(workload, fields, cel("connection.transport_failure_reason != ''"))


def _log(workload: str, fields: dict[str, str], condition: Message) -> Message:
    base = {"time": "%START_TIME%", "level": "warning", "service": f"{workload}.sidecar"}
    log = extension(
        "envoy.access_loggers.stdout",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        log_format={"json_format": {**base, **fields}, "json_format_options": {"sort_properties": False}},
    )
    return {**log, "filter": condition}
