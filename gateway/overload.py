"""What bounds the whole process, whoever calls: connections, memory, and clients that ask only to take it back."""

from typing import Final

from gateway.xds import Message, extension

_MAX_CONNECTIONS: Final = 10_000
_MAX_HEAP_BYTES: Final = 1024 * 1024 * 1024

RUNTIME: Final = {
    # Regular expressions come from the contract alone, and RE2 is linear in the length of what it reads.
    "re2.max_program_size.error_level": 1000,
    # A connection whose first streams are mostly reset within a second is closed (rapid reset, CVE-2023-44487).
    "overload.premature_reset_total_stream_count": 200,
    "overload.premature_reset_min_stream_lifetime_seconds": 1,
    # What arrives on one connection in one turn of the loop may not keep the others waiting.
    "http.max_requests_per_io_cycle": 10,
    # As many spans go to the collector at once as a service sends (OTEL_BSP_MAX_EXPORT_BATCH_SIZE), or all there are
    # every five seconds. By default it is five: at 10 % every fiftieth request would make a call of its own for them.
    "tracing.opentelemetry.min_flush_spans": 512,
}
"""Envoy's runtime, fixed."""


def overload_manager() -> Message:
    """Give the overload manager: a cap on connections, and less and less service as memory runs out."""
    heap = "envoy.resource_monitors.fixed_heap"
    return {
        "refresh_interval": "0.25s",
        "resource_monitors": [
            extension(
                "envoy.resource_monitors.global_downstream_max_connections",
                "envoy.extensions.resource_monitors.downstream_connections.v3.DownstreamConnectionsConfig",
                max_active_downstream_connections=_MAX_CONNECTIONS,
            ),
            extension(
                heap,
                "envoy.extensions.resource_monitors.fixed_heap.v3.FixedHeapConfig",
                max_heap_size_bytes=_MAX_HEAP_BYTES,
            ),
        ],
        "actions": [
            _action("envoy.overload_actions.shrink_heap", heap, 0.90),
            _action("envoy.overload_actions.disable_http_keepalive", heap, 0.92),
            _action("envoy.overload_actions.stop_accepting_requests", heap, 0.95),
            _action("envoy.overload_actions.stop_accepting_connections", heap, 0.98),
        ],
    }


def _action(name: str, monitor: str, share: float) -> Message:
    return {"name": name, "triggers": [{"name": monitor, "threshold": {"value": share}}]}
