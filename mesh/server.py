"""The gRPC server of a process: mTLS, the pipeline, and the services every process has."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from datetime import timedelta
from pathlib import Path
from typing import Any, Final

import grpc
from grpc_channelz.v1 import channelz, channelz_pb2
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server

from mesh.channel import MAX_MESSAGE
from mesh.credentials import CONNECTION_AGE, server_credentials
from mesh.health import Health
from mesh.pipeline import PipelineCompiler, PipelineInterceptor
from mesh.pipeline.exchange import Identify
from mesh.policy import Audience, MethodPolicy, Policy
from mesh.reflection import METHOD, REFLECTION_SERVICES, add_reflection
from mesh.wellknown import HEALTH_SERVICE

Servicer = tuple[Callable[[Any, Any], None], Any]
"""A generated `add_XServicer_to_server` and the servicer it adds."""

OPERATOR: Final = "operator"
"""The identity that a person debugs with."""


_CHANNELZ: Final = channelz_pb2.DESCRIPTOR.services_by_name["Channelz"]
CHANNELZ_SERVICE: Final[str] = _CHANNELZ.full_name

SERVER_OPTIONS: Final = (
    ("grpc.so_reuseport", 0),  # else two processes share a port in silence
    ("grpc.max_receive_message_length", MAX_MESSAGE),
    ("grpc.max_send_message_length", MAX_MESSAGE),
    ("grpc.max_metadata_size", 16 * 1024),
    # Of more than 1000 calls that wait to be taken up, gRPC itself cancels some: at random, health checks too, and with
    # no word. Which call is refused is for shedding to say.
    ("grpc.server.max_pending_requests", 10_000),
    ("grpc.server.max_pending_requests_hard_limit", 20_000),
    ("grpc.http2.min_ping_interval_without_data_ms", 5_000),
    ("grpc.keepalive_permit_without_calls", 1),
    *CONNECTION_AGE,
)


class MissingHandler(Exception):
    """A method of the contract that nobody serves: the process does not start. Names the method."""


def build_server(
    workload: str,
    *,
    policy: Policy,
    compiler: PipelineCompiler,
    servicers: Sequence[Servicer],
    health: Health,
    pki_dir: Path,
    listen: str,
    who: str | None = None,
    identify: Identify | None = None,
) -> tuple[grpc.aio.Server, int]:
    """Makes the server, bound but not started, and tells its port.

    Raises:
        BadCredentials: What `pki_dir` holds is not the identity `who`, or cannot be used now.
        MissingHandler: The contract gives this workload a method that no servicer serves.
        OSError: The address cannot be bound.
    """
    expected = policy.workloads[workload].services if workload in policy.workloads else ()
    methods = {**policy.methods, **operator_methods()}
    open_services = frozenset({HEALTH_SERVICE})
    server = grpc.aio.server(
        interceptors=[PipelineInterceptor(methods, compiler, open_services=open_services, identify=identify)],
        options=SERVER_OPTIONS,
    )
    for add, servicer in servicers:
        add(servicer, server)
    require_handlers(policy.of_workload(workload), servicers)
    add_HealthServicer_to_server(health, server)
    channelz.add_channelz_servicer(server)
    add_reflection(server, (*expected, HEALTH_SERVICE, CHANNELZ_SERVICE))
    try:
        port = server.add_secure_port(listen, server_credentials(pki_dir, who))
    except RuntimeError as refused:
        raise OSError(f"cannot listen on {listen}: {refused}") from refused
    return server, port


def operator_methods() -> Mapping[str, MethodPolicy]:
    """The policies of what every process serves to an operator: reflection and channelz."""
    found = [_operator_method(service, METHOD, streaming=True) for service in REFLECTION_SERVICES]
    found += [_operator_method(CHANNELZ_SERVICE, method.name, streaming=False) for method in _CHANNELZ.methods]
    return {method.path: method for method in found}


def _operator_method(service: str, name: str, *, streaming: bool) -> MethodPolicy:
    return MethodPolicy(
        service=service,
        name=name,
        workload="",
        request_type="",
        response_type="",
        client_streaming=streaming,
        server_streaming=streaming,
        audience=Audience.NONE,
        callers=frozenset({OPERATOR}),
        deadline=timedelta(hours=1) if streaming else timedelta(seconds=10),
    )


def require_handlers(methods: Iterable[MethodPolicy], servicers: Sequence[Servicer]) -> None:
    """Checks that each method has a handler of ours, not the generated one that answers UNIMPLEMENTED.

    Raises:
        MissingHandler: One has none.
    """
    by_service = {add.__name__: type(servicer) for add, servicer in servicers}
    for method in methods:
        short = method.service.rpartition(".")[2]
        servicer = by_service.get(f"add_{short}Servicer_to_server")
        if servicer is None:
            raise MissingHandler(f"{method.path}: the contract says that this process serves it; add its servicer")
        if getattr(servicer, method.name).__module__.endswith("_pb2_grpc"):
            raise MissingHandler(f"{method.path}: {servicer.__name__} has no method {method.name}; write it")
