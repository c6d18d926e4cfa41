"""What is asked: for every method the request that says no more than whose resource is meant, by gRPC and by REST."""

import json
from typing import Any

from google.protobuf.message import Message

from mesh.ids import uuid7
from mesh.policy import HttpRoute, MethodPolicy
from tests.gateway.neighbours import request_of


def grpc_request(method: MethodPolicy, owner: str) -> bytes:
    """Give the bytes of a request that names `owner` where the contract says an owner is named."""
    request: Message = request_of(method)
    if method.owner_field:
        *path, last = method.owner_field.split(".")
        target: Any = request
        for name in path:
            target = getattr(target, name)
        setattr(target, last, owner)
    return request.SerializeToString()


def rest_request(method: MethodPolicy, route: HttpRoute, owner: str) -> tuple[str, str, dict[str, Any]]:
    """Give verb, path and httpx arguments of the same by REST."""
    path = route.path
    while "{" in path:
        start, end = path.index("{"), path.index("}")
        variable = path[start + 1 : end].partition("=")[0]
        value = owner if variable == method.owner_field else uuid7()
        path = path[:start] + value + path[end + 1 :]
    arguments: dict[str, Any] = {}
    if route.body:
        arguments = {"content": json.dumps({}), "headers": {"content-type": "application/json"}}
    return route.verb, path, arguments
