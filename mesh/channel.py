"""One way to call a neighbour: mTLS, the contract's deadlines and retries, round robin, typed errors."""

import asyncio
import json
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import grpc

from mesh import tracing
from mesh.call import Call, find_call
from mesh.certificates import spiffe_id
from mesh.diagnosis import PeerDiagnosis
from mesh.errors import DeadlineExceeded, said, unanswered
from mesh.logs import logger
from mesh.metrics import Metrics
from mesh.policy import MethodPolicy, Policy
from mesh.renewed_channel import RenewedChannel
from mesh.service_config import service_config
from mesh.sidecar import SIDECAR, plain_service_config
from mesh.tuning import RetryTuning

BUDGET_RESERVE: Final = 0.05
"""Seconds of the caller's own time that a child call may not use: its answer still has to be dealt with."""

DEFAULT_PORT: Final = 50051

MAX_MESSAGE: Final = 4 * 1024 * 1024

CHANNEL_OPTIONS: Final = (
    ("grpc.enable_retries", 1),
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.keepalive_time_ms", 30_000),
    ("grpc.keepalive_timeout_ms", 5_000),
)
"""Of every channel, inside the mesh and from outside."""

_OPTIONS: Final = (
    *CHANNEL_OPTIONS,
    ("grpc.initial_reconnect_backoff_ms", 100),
    ("grpc.min_reconnect_backoff_ms", 100),
    ("grpc.max_reconnect_backoff_ms", 1_000),
)

_log = logger("channel")


def open_channel(
    workload: str,
    *,
    policy: Policy,
    addresses: Sequence[str],
    pki_dir: Path,
    metrics: Metrics,
    retry: RetryTuning,
    sidecar: str | None = None,
) -> grpc.aio.Channel:
    """A channel to a workload that acts as the contract says. Close it at the end.

    Args:
        workload: Whom to call; its certificate must name it.
        policy: Deadlines and retries by method.
        addresses: `host:port` of each process; without any, DNS is asked for the workload's name.
        pki_dir: Own certificate and the CA; the channel follows when they change.
        metrics: Where calls are counted.
        retry: How repeats are spaced and bounded.
        sidecar: `host:port` of the own sidecar, which finds the workload; None in a process without one.
    """
    called, who = (workload, spiffe_id(workload)) if sidecar is None else (SIDECAR, None)
    if sidecar is not None:
        addresses = (sidecar,)
    target = f"ipv4:{','.join(addresses)}" if addresses else f"dns:///{workload}:{DEFAULT_PORT}"
    # One layer repeats a call: the sidecar where there is one, else this channel.
    config = plain_service_config() if sidecar else json.dumps(service_config(policy, workload, retry))
    interceptor = CallInterceptor(policy.methods, metrics)
    return RenewedChannel(
        target,
        pki_dir,
        options=(
            *_OPTIONS,
            ("grpc.service_config", config),
            # The addresses are bare numbers; what is checked is that the other end is the workload that is meant.
            ("grpc.ssl_target_name_override", called),
        ),
        interceptors=[interceptor, StreamInterceptor(interceptor)],
        on_trouble=PeerDiagnosis(called, who, addresses or (f"{workload}:{DEFAULT_PORT}",)),
    )


class CallInterceptor(grpc.aio.UnaryUnaryClientInterceptor):
    """Gives every call its deadline and identity, and rebuilds the typed error of the other side."""

    def __init__(self, methods: Mapping[str, MethodPolicy], metrics: Metrics) -> None:
        self._methods = methods
        self._metrics = metrics

    async def intercept_unary_unary(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Makes the call (grpc.aio.UnaryUnaryClientInterceptor).

        Raises:
            DeadlineExceeded: DEADLINE_TOO_SHORT: too little of the caller's own time is left.
            MeshError: What the other side said, as its own type.
        """
        path = method_path(client_call_details)
        details = self.prepare(path, client_call_details)
        started = time.perf_counter()
        code = grpc.StatusCode.OK
        try:
            call = await continuation(details, request)
            return await call
        except grpc.aio.AioRpcError as error:
            code = error.code()
            answer = said(error)
            if answer is None:
                _log.warning("a call was not answered", method=path, code=code.name, details=error.details())
            raise answer or unanswered(error) from None
        except asyncio.CancelledError:
            code = grpc.StatusCode.CANCELLED
            raise
        finally:
            self._metrics.client_duration.labels(path.lstrip("/"), code.name).observe(time.perf_counter() - started)

    def prepare(self, path: str, details: grpc.aio.ClientCallDetails) -> grpc.aio.ClientCallDetails:
        """The call's details with deadline, identity, ids and trace."""
        call = find_call()
        metadata = list(details.metadata or ())
        given = {key for key, _ in metadata}
        metadata += [(key, value) for key, value in _forwarded(call) if key not in given]
        metadata += tracing.inject()
        return grpc.aio.ClientCallDetails(
            details.method,
            self._timeout(path, details.timeout, call),
            grpc.aio.Metadata(*metadata),
            details.credentials,
            details.wait_for_ready,
        )

    def _timeout(self, path: str, asked: float | None, call: Call | None) -> float | None:
        """Child deadline = min(asked, the contract's, remaining - 50 ms)."""
        limits = [asked] if asked is not None else []
        policy = self._methods.get(path)
        if policy is not None:
            limits.append(policy.deadline.total_seconds())
        if call is not None and call.deadline is not None:
            remaining = call.deadline - asyncio.get_running_loop().time() - BUDGET_RESERVE
            if remaining <= 0:
                raise DeadlineExceeded("DEADLINE_TOO_SHORT", f"too little time was left to call {path}")
            limits.append(remaining)
        return min(limits, default=None)


class StreamInterceptor(grpc.aio.UnaryStreamClientInterceptor):
    """The same for server streams, whose errors surface while they are read."""

    def __init__(self, calls: CallInterceptor) -> None:
        self._calls = calls

    async def intercept_unary_stream(
        self, continuation: Callable[..., Any], client_call_details: grpc.aio.ClientCallDetails, request: Any
    ) -> Any:
        """Opens the stream (grpc.aio.UnaryStreamClientInterceptor)."""
        details = self._calls.prepare(method_path(client_call_details), client_call_details)
        return await continuation(details, request)


def method_path(details: grpc.aio.ClientCallDetails) -> str:
    """The gRPC path of a call: the client's side has it as bytes or as text, depending on the version."""
    method: str | bytes = details.method
    return method.decode() if isinstance(method, bytes) else method


def _forwarded(call: Call | None) -> list[tuple[str, str]]:
    if call is None:
        return []
    headers = [("x-request-id", call.request_id), ("x-correlation-id", call.correlation_id)]
    if call.subject is not None:
        headers.append(("authorization", f"Bearer {call.subject.token}"))
    return headers
