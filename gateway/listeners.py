"""Where clients connect: the plain listener and the TLS one, with the same HTTP behind both."""

from typing import Final

from gateway.clusters import COLLECTOR
from gateway.contract import Surface
from gateway.filters import http_filters
from gateway.headers import arrival
from gateway.identity import public_tls
from gateway.limits import Limits
from gateway.replies import local_replies
from gateway.routes import open_paths
from gateway.runtime import Address, EdgeRuntime
from gateway.xds import Message, extension, socket_address

_BUFFER_BYTES: Final = 1024 * 1024


def listeners(runtime: EdgeRuntime, surface: Surface, limits: Limits, routes: Message) -> list[Message]:
    """Give the listeners.

    Args:
        runtime: of this edge.
        surface: what is exposed.
        limits: its rate limits.
        routes: the route configuration both share.
    """
    shared = {
        "route_config": routes,
        "local_reply_config": local_replies(limits.longest_wait),
        "access_log": [_access_log()],
    }

    def manager(*, tls: bool) -> Message:
        filters = http_filters(runtime, surface, limits, tls=tls, open_paths=open_paths(runtime))
        return _connection_manager(runtime, filters, shared, tls=tls)

    result = [_listener("plain", runtime.plain, manager(tls=False), None)]
    if runtime.tls and runtime.files.public:
        public = public_tls(runtime.files.public, alpn=("h2", "http/1.1"))
        result.append(_listener("tls", runtime.tls, manager(tls=True), public))
    return result


def _listener(name: str, address: Address, manager: Message, transport: Message | None) -> Message:
    chain: Message = {"filters": [manager]}
    if transport:
        chain["transport_socket"] = transport
    return {
        "name": name,
        "address": socket_address(address),
        "per_connection_buffer_limit_bytes": _BUFFER_BYTES,
        "filter_chains": [chain],
    }


def _connection_manager(runtime: EdgeRuntime, filters: list[Message], shared: Message, *, tls: bool) -> Message:
    return extension(
        "envoy.filters.network.http_connection_manager",
        "envoy.extensions.filters.network.http_connection_manager.v3.HttpConnectionManager",
        stat_prefix="edge_tls" if tls else "edge",
        codec_type="AUTO",
        http_filters=filters,
        early_header_mutation_extensions=[arrival()],
        **_trust(runtime),
        **_hygiene(),
        **_time_limits(),
        tracing=_tracing(runtime),
        **shared,
    )


def _trust(runtime: EdgeRuntime) -> Message:
    return {
        "use_remote_address": True,
        "xff_num_trusted_hops": runtime.trusted_hops,
        # No address is trusted for where it is, loopback and private networks included. An empty list would mean the
        # default, which trusts both; nobody calls from the broadcast address.
        "internal_address_config": {"cidr_ranges": [{"address_prefix": "255.255.255.255", "prefix_len": 32}]},
        "forward_client_cert_details": "SANITIZE",
        "generate_request_id": True,
        "always_set_request_id_in_response": True,
        "request_id_extension": {
            "typed_config": {
                "@type": "type.googleapis.com/envoy.extensions.request_id.uuid.v3.UuidRequestIdConfig",
                # Else Envoy writes its sampling decision into the UUID, which then is no valid one any more.
                "pack_trace_reason": False,
            }
        },
        "server_name": "zoco",
    }


def _hygiene() -> Message:
    return {
        "normalize_path": True,
        "merge_slashes": True,
        "path_with_escaped_slashes_action": "REJECT_REQUEST",
        "common_http_protocol_options": {
            "headers_with_underscores_action": "REJECT_REQUEST",
            "max_headers_count": 100,
            "idle_timeout": "300s",
        },
        # A method that nobody knows is a wrong method of its path (405), as over HTTP/2, and no malformed request.
        "http_protocol_options": {"accept_http_10": False, "allow_custom_methods": True},
        "http2_protocol_options": {
            "max_concurrent_streams": 100,
            "initial_stream_window_size": 65536,
            "initial_connection_window_size": 1048576,
        },
        "max_request_headers_kb": 32,
    }


def _time_limits() -> Message:
    return {
        # Headers and body must arrive; how long the answer may take is each route's deadline. Nothing exposed takes a
        # stream but reflection, in dev.
        "request_headers_timeout": "10s",
        "request_timeout": "30s",
        # Nothing may pass this long in either direction: four heartbeats of a watch.
        "stream_idle_timeout": "60s",
        "drain_timeout": "5s",
    }


def _tracing(runtime: EdgeRuntime) -> Message:
    """Give the tracer: joins the client's trace or starts one (W3C); sends spans only where there is a collector."""
    samplers = "envoy.extensions.tracers.opentelemetry.samplers.v3"
    begun_here = extension(
        "envoy.tracers.opentelemetry.samplers.trace_id_ratio_based",
        f"{samplers}.TraceIdRatioBasedSamplerConfig",
        sampling_percentage={"numerator": round(runtime.trace_ratio * 1_000_000), "denominator": "MILLION"},
    )
    return {
        "provider": extension(
            "envoy.tracers.opentelemetry",
            "envoy.config.trace.v3.OpenTelemetryConfig",
            service_name="edge",
            grpc_service={"envoy_grpc": {"cluster_name": COLLECTOR}, "timeout": "1s"},
            sampler=extension(
                "envoy.tracers.opentelemetry.samplers.parent_based",
                f"{samplers}.ParentBasedSamplerConfig",
                wrapped_sampler=begun_here,
            ),
        ),
        # Everything is offered to the sampler, which follows the client's decision, else takes its share.
        "random_sampling": {"value": 100.0},
        "spawn_upstream_span": False,
    }


def _access_log() -> Message:
    fields = {
        "time": "%START_TIME%",
        "level": "info",
        "service": "edge",
        "method": "%REQ(:METHOD)%",
        "status": "%RESPONSE_CODE%",
        "grpcStatus": "%GRPC_STATUS%",
        # Without the query: it can hold what nobody should read in a log.
        "path": "%PATH(NQ:ORIG_OR_PATH)%",
        "rpc": "%ROUTE_NAME%",
        "durationMs": "%DURATION%",
        "received": "%BYTES_RECEIVED%",
        "sent": "%BYTES_SENT%",
        "flags": "%RESPONSE_FLAGS%",
        "detail": "%RESPONSE_CODE_DETAILS%",
        "workload": "%UPSTREAM_CLUSTER%",
        "upstream": "%UPSTREAM_HOST%",
        "client": "%DOWNSTREAM_REMOTE_ADDRESS_WITHOUT_PORT%",
        "requestId": "%REQ(X-REQUEST-ID)%",
        "correlationId": "%REQ(X-CORRELATION-ID)%",
        "traceId": "%TRACE_ID%",
    }
    return extension(
        "envoy.access_loggers.stdout",
        "envoy.extensions.access_loggers.stream.v3.StdoutAccessLog",
        log_format={"json_format": fields},
    )
