"""gRPC reflection under both of its names, v1 and v1alpha: their messages are the same on the wire."""

from collections.abc import Iterable
from typing import Final

import grpc
from google.protobuf.descriptor_pool import DescriptorPool
from grpc_reflection.v1alpha import reflection_pb2
from grpc_reflection.v1alpha.reflection import aio

REFLECTION_SERVICES: Final = ("grpc.reflection.v1.ServerReflection", "grpc.reflection.v1alpha.ServerReflection")
METHOD: Final = "ServerReflectionInfo"


def add_reflection(server: grpc.aio.Server, services: Iterable[str], pool: DescriptorPool | None = None) -> None:
    """Lets grpcurl and the like list and describe services.

    Args:
        server: The server that answers.
        services: Full names of the services it lists.
        pool: Where their descriptors are found; the default pool if None.
    """
    servicer = aio.ReflectionServicer([*services, *REFLECTION_SERVICES], pool=pool)
    handler = grpc.stream_stream_rpc_method_handler(
        servicer.ServerReflectionInfo,
        request_deserializer=reflection_pb2.ServerReflectionRequest.FromString,
        response_serializer=reflection_pb2.ServerReflectionResponse.SerializeToString,
    )
    server.add_generic_rpc_handlers(
        tuple(grpc.method_handlers_generic_handler(name, {METHOD: handler}) for name in REFLECTION_SERVICES)
    )
