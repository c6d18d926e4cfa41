"""gRPC reflection under both of its names, v1 and v1alpha: their messages are the same on the wire."""

import contextlib
from collections.abc import Iterable
from typing import Final

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

REFLECTION_SERVICES: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
METHOD: Final = "ServerReflectionInfo"


class _Servicer(aio.ReflectionServicer):  # type: ignore[misc]  # the package has no types
    """Finds the file of a method too: protobuf's pool resolves a service but not what is in it."""

    def _file_containing_symbol(
        self, request: reflection_pb2.ServerReflectionRequest, fully_qualified_name: str
    ) -> reflection_pb2.ServerReflectionResponse:
        parent, _, method = fully_qualified_name.rpartition(".")
        with contextlib.suppress(KeyError):
            if method in self._pool.FindServiceByName(parent).methods_by_name:
                return super()._file_containing_symbol(request, parent)
        return super()._file_containing_symbol(request, fully_qualified_name)


def add_reflection(server: grpc.aio.Server, services: Iterable[str], pool: DescriptorPool | None = None) -> None:
    """Lets grpcurl and the like list and describe services.

    Args:
        server: The server that answers.
        services: Full names of the services it lists.
        pool: Where their descriptors are found; the default pool if None.
    """
    servicer = _Servicer([*services, *REFLECTION_SERVICES], pool=pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, {METHOD: handler}) for name in REFLECTION_SERVICES)
    )
