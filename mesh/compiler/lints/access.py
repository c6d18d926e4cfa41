"""Lints on who may call: complete access, callers that exist, owners that can be checked."""

from collections.abc import Iterator

from google.protobuf.descriptor_pb2 import FieldDescriptorProto

from mesh.compiler.lints.contract import Contract, Fault, is_ours
from mesh.decision import EDGE
from mesh.policy import Audience


def incomplete(contract: Contract) -> Iterator[Fault]:
    """A method without access, deadline or half a limit; a service without a workload."""
    for path, missing in sorted(contract.incomplete.items()):
        for text in missing:
            problem, _, remedy = text.partition("; ")
            yield Fault(path, problem, remedy)
    known = {service for workload in contract.policy.workloads.values() for service in workload.services}
    for path in sorted(contract.places):
        service = path.lstrip("/").partition("/")[0]
        if path.startswith("/") and service not in known and is_ours(service):
            yield Fault(path, "its service names no workload", "say which process serves it: service.workload")


def unknown_caller(contract: Contract) -> Iterator[Fault]:
    """A caller that is no workload and no client."""
    known = contract.policy.workloads.keys() | contract.policy.clients.keys()
    for method in contract.methods():
        for caller in sorted(method.callers):
            if caller == EDGE:
                yield Fault(
                    method.path, "access.callers names the edge", "drop it: access.edge says what comes from outside"
                )
            elif caller not in known:
                yield Fault(
                    method.path,
                    f'access.callers names "{caller}", which is no workload',
                    "name one that a service declares, or declare it as one of the mesh's clients",
                )


def unreachable(contract: Contract) -> Iterator[Fault]:
    """A method that nobody may call."""
    for method in contract.methods():
        if method.audience is Audience.NONE and not method.callers:
            yield Fault(method.path, "access.edge is NONE and there are no callers", "let somebody call it, or drop it")


def hidden_route(contract: Contract) -> Iterator[Fault]:
    """A method that is closed to the outside and has a REST rule."""
    for method in contract.methods():
        if method.routes and method.audience is Audience.NONE:
            yield Fault(method.path, "it has a REST rule, but access.edge is NONE", "drop one of them")


def owner_unchecked(contract: Contract) -> Iterator[Fault]:
    """An owner field that cannot be held against a token."""
    for method in contract.methods():
        if not method.owner_field:
            continue
        field = contract.field(method.request_type, method.owner_field)
        if method.audience is not Audience.USER:
            yield Fault(
                method.path,
                f"access.owner_field is said, but access.edge is {method.audience.name}",
                "only a USER method has an owner to check: make it one, or drop the owner_field",
            )
        elif field is None or field.type != FieldDescriptorProto.TYPE_STRING or _is_repeated(field):
            yield Fault(
                method.path,
                f'access.owner_field "{method.owner_field}" is no string field of {method.request_type}',
                "name the field with the user's id",
            )
        elif method.client_streaming:
            yield Fault(
                method.path,
                "access.owner_field is said of a stream of requests",
                "only one request can be checked: take one, or check each in the service and drop the owner_field",
            )


def _is_repeated(field: FieldDescriptorProto) -> bool:
    return field.label == FieldDescriptorProto.LABEL_REPEATED
