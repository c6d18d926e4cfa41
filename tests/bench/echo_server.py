"""A process that serves a unary echo in one of several ways; the bench compares them. Two more serve what those need.

Handler, event loop and server options are always the same. All but `bare` run in batches, as services do.
"""

import argparse
import asyncio
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any, Final, Literal

import grpc
import uvloop
from google.protobuf import json_format
from grpc_health.v1.health_pb2_grpc import add_HealthServicer_to_server
from opentelemetry.instrumentation.grpc import aio_server_interceptor
from opentelemetry.proto.collector.trace.v1 import trace_service_pb2, trace_service_pb2_grpc

from mesh.credentials import server_credentials
from mesh.health import Health
from mesh.logs import JsonLog, configure_logs
from mesh.metrics import Metrics
from mesh.pipeline import PipelineCompiler, PipelineInterceptor
from mesh.policy import load_policy
from mesh.scheduling import run_in_batches
from mesh.server import SERVER_OPTIONS
from mesh.settings import MeshSettings
from mesh.tokens import KeySet, TokenVerifier
from mesh.tracing import configure_tracing
from mesh.wellknown import HEALTH_SERVICE
from tests.harness import AUDIENCE, ISSUER
from tests.mesh.probe import ProbeContract, load_probe
from zoco.user.v1 import auth_service_pb2

Way = Literal["bare", "batched", "pipeline", "stock", "collector", "keys"]
"""Without interceptors, as anybody starts it; the same in batches; behind the whole pipeline; behind OpenTelemetry's
own interceptor and nothing else; and, not an echo, where the spans of the others go, and where an edge asks for the
keys of tokens."""
Transport = Literal["mtls", "plaintext"]

WORKLOAD: Final = "product"
KEYS_WORKLOAD: Final = "user"
METHOD: Final = "probe.v1.ProbeService.Rule"
"""For administrators, with a rule on its one field: every stage that a unary read can have has something to do."""

TRACE_RATIO: Final = 0.1
KEY_SET: Final = "keys.json"


def _echo(contract: ProbeContract) -> Any:
    messages = contract.messages

    async def rule(_self: Any, request: Any, _context: Any) -> Any:
        return messages.EchoResponse(text=request.text)

    return type("Echo", (contract.stubs.ProbeServiceServicer,), {"Rule": rule})()


def _publisher(directory: Path) -> grpc.GenericRpcHandler:
    async def publish(_request: Any, _context: Any) -> Any:
        return json_format.ParseDict(dict(await _keys(directory)), auth_service_pb2.GetJwksResponse())

    handler = grpc.unary_unary_rpc_method_handler(
        publish,
        request_deserializer=auth_service_pb2.GetJwksRequest.FromString,
        response_serializer=auth_service_pb2.GetJwksResponse.SerializeToString,
    )
    return grpc.method_handlers_generic_handler("zoco.user.v1.AuthService", {"GetJwks": handler})


class _Collector(trace_service_pb2_grpc.TraceServiceServicer):
    async def Export(self, request: Any, context: Any) -> Any:
        return trace_service_pb2.ExportTraceServiceResponse()


def main() -> None:
    """Serves until it is killed; the one line of standard output is the port."""
    parser = argparse.ArgumentParser()
    parser.add_argument("directory", type=Path)
    parser.add_argument("way")
    parser.add_argument("transport", nargs="?", default="plaintext")
    parser.add_argument("--collector")
    chosen = parser.parse_args()
    if chosen.way != "bare":
        run_in_batches()
    uvloop.run(_serve(chosen.directory, chosen.way, chosen.transport, chosen.collector))


async def _serve(directory: Path, way: Way, transport: Transport, collector: str | None) -> None:
    settings = MeshSettings.model_validate(
        {
            "ZOCO_PKI_DIR": directory / "pki" / (KEYS_WORKLOAD if way == "keys" else WORKLOAD),
            "OTEL_TRACES_SAMPLER_ARG": TRACE_RATIO,
            "OTEL_EXPORTER_OTLP_ENDPOINT": collector,
            "LOG_FORMAT": "json",
        }
    )
    json_log = configure_logs(settings, WORKLOAD)
    configure_tracing(settings, WORKLOAD)
    interceptors = _interceptors(way, transport, directory, json_log)
    server = grpc.aio.server(interceptors=interceptors, options=SERVER_OPTIONS)
    health = Health((), {})
    await health.probe()
    add_HealthServicer_to_server(health, server)
    match way:
        case "collector":
            trace_service_pb2_grpc.add_TraceServiceServicer_to_server(_Collector(), server)  # type: ignore[no-untyped-call]  # generated
        case "keys":
            server.add_generic_rpc_handlers((_publisher(directory),))
        case _:
            contract = load_probe(directory)
            contract.stubs.add_ProbeServiceServicer_to_server(_echo(contract), server)
    if transport == "mtls":
        port = server.add_secure_port("127.0.0.1:0", server_credentials(settings.pki_dir))
    else:
        port = server.add_insecure_port("127.0.0.1:0")
    await server.start()
    print(port, flush=True)
    await asyncio.Event().wait()


def _interceptors(
    way: Way, transport: Transport, directory: Path, json_log: JsonLog | None
) -> Sequence[grpc.aio.ServerInterceptor]:
    match way:
        case "pipeline":
            policy = load_policy(load_probe(directory).descriptors)
            keys = KeySet(lambda: _keys(directory))
            verifier = TokenVerifier(keys, issuer=ISSUER, audience=AUDIENCE)
            compiler = PipelineCompiler(Metrics(), verifier, json_log=json_log)
            # Without TLS nobody shows a certificate: there the server is told what it would say.
            identify = None if transport == "mtls" else lambda _context, _metadata: "edge"
            return [
                PipelineInterceptor(
                    policy.methods, compiler, identify=identify, open_services=frozenset({HEALTH_SERVICE})
                )
            ]
        case "stock":
            return [aio_server_interceptor()]  # type: ignore[no-untyped-call]  # the package has no types
        case "bare" | "batched" | "collector" | "keys":
            return []


async def _keys(directory: Path) -> Mapping[str, Any]:
    keys: Mapping[str, Any] = json.loads((directory / KEY_SET).read_text())
    return keys


if __name__ == "__main__":
    main()
