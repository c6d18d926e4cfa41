"""What the edge needs of the contract: which RPCs are exposed, who serves them, for how long, under which rules."""

from collections.abc import Iterator
from dataclasses import dataclass
from datetime import timedelta

from google.api.annotations_pb2 import http
from google.api.http_pb2 import HttpRule
from google.protobuf.descriptor_pb2 import FileDescriptorSet, MethodDescriptorProto

from zoco.mesh.v1.policy_pb2 import EDGE_AUDIENCE_NONE, EDGE_AUDIENCE_UNSPECIFIED, EdgeAudience
from zoco.mesh.v1.policy_pb2 import method as method_policy
from zoco.mesh.v1.policy_pb2 import service as service_policy


class ContractError(Exception):
    """A contract says something the edge cannot serve. The text is one sentence that names the RPC."""


@dataclass(frozen=True)
class RestRule:
    """One google.api.http binding.

    Attributes:
        verb: the HTTP method, in capitals.
        template: the path, as `/v1/orders/{id}:cancel`.
        body: the field the request body fills, `*` for the whole message, empty where there is none.
        raw_body: whether that field is a google.api.HttpBody, which takes any content type.
    """

    verb: str
    template: str
    body: str
    raw_body: bool


@dataclass(frozen=True)
class ExposedMethod:
    """An RPC that clients outside the mesh may call.

    Attributes:
        service: full name, as `zoco.order.v1.OrderService`.
        name: as `CreateOrder`.
        workload: the process that serves it.
        audience: who may call it: PUBLIC, USER or ADMIN.
        deadline: the longest time a call may take; for a stream, its longest life.
        streaming: whether the answer is a stream.
        rules: its REST bindings; empty where it is reached by gRPC only.
    """

    service: str
    name: str
    workload: str
    audience: "EdgeAudience.ValueType"
    deadline: timedelta
    streaming: bool
    rules: tuple[RestRule, ...]

    @property
    def path(self) -> str:
        """The path of a gRPC call: `/package.Service/Method`."""
        return f"/{self.service}/{self.name}"


def exposed_methods(descriptors: FileDescriptorSet) -> tuple[ExposedMethod, ...]:
    """Read what the contract exposes.

    Args:
        descriptors: the contracts with all they import.

    Returns:
        Every method whose `access.edge` is PUBLIC, USER or ADMIN, by service and name.

    Raises:
        ContractError: a method has no audience or no deadline, a service no workload, or a hidden method a REST rule.
    """
    return tuple(sorted(_exposed(descriptors), key=lambda method: method.path))


def _exposed(descriptors: FileDescriptorSet) -> Iterator[ExposedMethod]:
    raw = _fields_of_raw_body(descriptors)
    for file in descriptors.file:
        for service in file.service:
            full_name = f"{file.package}.{service.name}"
            for method in service.method:
                policy = method.options.Extensions[method_policy]
                rules = tuple(_rules(method, raw))
                where = f"{full_name}/{method.name}"
                if policy.access.edge == EDGE_AUDIENCE_UNSPECIFIED:
                    raise ContractError(f"{where} does not say who may call it from outside (access.edge).")
                if policy.access.edge == EDGE_AUDIENCE_NONE:
                    if rules:
                        raise ContractError(f"{where} is not exposed (access.edge NONE) but has a REST rule.")
                    continue
                if policy.deadline.ToTimedelta() <= timedelta(0):
                    raise ContractError(f"{where} has no deadline.")
                if method.client_streaming and rules:
                    raise ContractError(f"{where} takes a stream, which REST cannot send, but has a REST rule.")
                workload = service.options.Extensions[service_policy].workload
                if not workload:
                    raise ContractError(f"{full_name} does not say which workload serves it.")
                yield ExposedMethod(
                    service=full_name,
                    name=method.name,
                    workload=workload,
                    audience=policy.access.edge,
                    deadline=policy.deadline.ToTimedelta(),
                    streaming=method.server_streaming,
                    rules=rules,
                )


def _rules(method: MethodDescriptorProto, raw: frozenset[tuple[str, str]]) -> Iterator[RestRule]:
    if not method.options.HasExtension(http):
        return
    first: HttpRule = method.options.Extensions[http]
    for rule in (first, *first.additional_bindings):
        verb, template = _pattern(rule)
        yield RestRule(verb, template, rule.body, (method.input_type, rule.body) in raw)


def _pattern(rule: HttpRule) -> tuple[str, str]:
    match rule.WhichOneof("pattern"):
        case "get":
            return "GET", rule.get
        case "put":
            return "PUT", rule.put
        case "post":
            return "POST", rule.post
        case "delete":
            return "DELETE", rule.delete
        case "patch":
            return "PATCH", rule.patch
        case "custom":
            return rule.custom.kind.upper(), rule.custom.path
        case _:
            raise ContractError("A google.api.http rule has no path.")


def _fields_of_raw_body(descriptors: FileDescriptorSet) -> frozenset[tuple[str, str]]:
    """Give (message type, field) of every top-level field that holds a google.api.HttpBody."""
    return frozenset(
        (f".{file.package}.{message.name}", field.name)
        for file in descriptors.file
        for message in file.message_type
        for field in message.field
        if field.type_name == ".google.api.HttpBody"
    )
