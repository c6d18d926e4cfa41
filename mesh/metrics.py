"""Metrics of the runtime, by OpenTelemetry's RPC semantic conventions, on one Prometheus endpoint a process."""

from typing import Final

from prometheus_client import CollectorRegistry, Counter, Gauge
from prometheus_client.gc_collector import GCCollector
from prometheus_client.platform_collector import PlatformCollector
from prometheus_client.process_collector import ProcessCollector

from mesh.durations import Durations

LATENCY_BUCKETS: Final = (0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0)
"""Upper bounds in seconds."""


class Metrics:
    """What the runtime counts. One object a process; its registry takes the service's own metrics too."""

    def __init__(self) -> None:
        self.registry = CollectorRegistry()
        ProcessCollector(registry=self.registry)
        PlatformCollector(registry=self.registry)
        GCCollector(registry=self.registry)
        self.server_duration = Durations(
            "rpc_server_call_duration_seconds",
            "How long calls served here took.",
            ["rpc_method", "rpc_response_status_code"],
            LATENCY_BUCKETS,
            self.registry,
        )
        self.client_duration = Durations(
            "rpc_client_call_duration_seconds",
            "How long calls made from here took, retries included.",
            ["rpc_method", "rpc_response_status_code"],
            LATENCY_BUCKETS,
            self.registry,
        )
        self.in_flight = Gauge(
            "rpc_server_calls_in_flight", "Calls being served.", ["rpc_method"], registry=self.registry
        )
        self.refusals = Counter(
            "rpc_server_refusals_total",
            "Calls that a stage of the pipeline refused.",
            ["stage", "reason"],
            registry=self.registry,
        )
        self.replays = Counter(
            "rpc_server_idempotent_replays_total",
            "Calls answered with the stored first answer.",
            ["rpc_method"],
            registry=self.registry,
        )
        self.loop_lag = Gauge(
            "process_event_loop_lag_seconds",
            "By how much the event loop is late, of late at least.",
            registry=self.registry,
        )
        self.open_streams = Gauge("rpc_server_streams_open", "Streams being served.", registry=self.registry)
        self.cache_hits = Counter(
            "rpc_server_cache_hits_total",
            "Calls answered out of the cache of public reads.",
            ["rpc_method"],
            registry=self.registry,
        )
        self.cache_misses = Counter(
            "rpc_server_cache_misses_total",
            "Calls that the cache of public reads had no answer to.",
            ["rpc_method"],
            registry=self.registry,
        )
        self.cache_invalidated = Counter(
            "rpc_server_cache_invalidated_total",
            "Answers dropped because what they tell changed.",
            registry=self.registry,
        )
