"""The document: OpenAPI 3.1 of everything that the edge serves over REST."""

import json
from pathlib import Path
from typing import Final

from google.protobuf.descriptor_pb2 import FileDescriptorSet

from gateway.contract import ContractError, read_surface
from gateway.openapi.constraints import Schema
from gateway.openapi.contract import read_types
from gateway.openapi.errors import HEADERS, error_detail
from gateway.openapi.health import health_operation
from gateway.openapi.operations import BEARER, Operations, path_of
from gateway.openapi.schemas import Schemas
from mesh.compiler import CompileError, Files
from mesh.policy import PolicyError
from mesh.wellknown import HEALTH_PAGE

GENERATED: Final = "openapi/openapi.json"
"""Where it goes under `generated/`."""

_ABOUT: Final = Path(__file__).with_name("about.md")


def document(descriptors: FileDescriptorSet) -> Schema:
    """Give the document.

    Args:
        descriptors: the contracts with all they import, and their comments.

    Raises:
        ContractError: two RPCs would be one operation, or something has no translation.
        PolicyError: a contract leaves out what every contract must say.
    """
    surface, types = read_surface(descriptors), read_types(descriptors)
    schemas = Schemas(types, [method.response_type for method in surface.methods])
    operations = Operations(surface, types, schemas)
    paths: dict[str, Schema] = {HEALTH_PAGE: {"get": health_operation()}}
    names: dict[str, str] = {}
    for method in surface.methods:
        for route in method.routes:
            made = operations.operation(method, route)
            if (other := names.setdefault(made["operationId"], method.path)) != method.path:
                raise ContractError(f"{method.path} and {other} would be one operation in OpenAPI.")
            paths.setdefault(path_of(route), {})[route.verb.lower()] = made
    schemas.components["ErrorDetail"] = error_detail(types, schemas)
    services = sorted({method.service for method in surface.methods})
    return {
        "openapi": "3.1.0",
        "info": {
            "title": "Zoco",
            "version": "v1",
            "description": _ABOUT.read_text(encoding="utf-8"),
            "license": {"name": "Apache-2.0", "identifier": "Apache-2.0"},
        },
        "servers": [{"url": "/", "description": "Where this document comes from."}],
        "tags": [
            *({"name": each.rpartition(".")[2], "description": types.comment(each)} for each in services),
            {"name": "System", "description": "The system itself."},
        ],
        "security": [{BEARER: []}],
        "paths": dict(sorted(paths.items())),
        "components": {
            "schemas": dict(sorted(schemas.components.items())),
            "headers": dict(HEADERS),
            "securitySchemes": {
                BEARER: {
                    "type": "http",
                    "scheme": "bearer",
                    "bearerFormat": "JWT",
                    "description": "The `accessToken` of `POST /v1/auth:login`.",
                }
            },
        },
    }


def emit(descriptors: FileDescriptorSet) -> Files:
    """Emit the document; one of the compiler's emitters.

    Args:
        descriptors: the contracts with all they import.

    Raises:
        CompileError: the contracts ask for what the document cannot say.
    """
    try:
        made = document(descriptors)
    except (ContractError, PolicyError, ValueError) as error:
        raise CompileError(str(error)) from error
    return {GENERATED: (json.dumps(made, indent=2, ensure_ascii=False) + "\n").encode()}
