"""Where the keys that verify access tokens come from: the RPC that the contract names."""

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import grpc
from google.protobuf import json_format

from mesh.messages import message_classes
from mesh.policy import MethodPolicy
from mesh.tokens import FetchKeys


def remote_keys(channel: grpc.aio.Channel, method: MethodPolicy, descriptors: Path) -> FetchKeys:
    """Asks another service for the key set.

    Args:
        channel: To the workload that serves it.
        method: The RPC whose policy says `token_keys`; its request has nothing to say.
        descriptors: The descriptor set, since this process has no generated code for the answer.
    """
    answer_class = message_classes(descriptors, [method.response_type])[method.response_type]
    call = channel.unary_unary(method.path, request_serializer=_nothing, response_deserializer=answer_class.FromString)

    async def fetch() -> Mapping[str, Any]:
        return json_format.MessageToDict(await call(b""))

    return fetch


async def no_keys() -> Mapping[str, Any]:
    """The key set of a contract that names no source: no token holds."""
    return {"keys": []}


def _nothing(request: bytes) -> bytes:
    return request
