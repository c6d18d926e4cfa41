"""Lints on REST rules: each request has one meaning, and a path cannot be contradicted by what comes in the body."""

import re
from collections.abc import Iterator, Sequence
from itertools import combinations
from typing import Final, NamedTuple

from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from mesh.compiler.lints.contract import Contract, Fault
from mesh.policy import HttpRoute, MethodPolicy

_VARIABLE: Final = re.compile(r"\{(?P<field>[^{}=]+)(?:=(?P<segments>[^{}]+))?\}")


class Pattern(NamedTuple):
    """What paths a template matches."""

    segments: tuple[str, ...]
    """Literals, `*` for any segment, `**` for any number of them at the end."""
    verb: str
    """After the colon, such as `cancel`; empty for none."""


def parse_pattern(template: str) -> Pattern:
    """Takes a path template of google.api.http apart, without the names of its variables."""
    plain = _VARIABLE.sub(lambda match: match["segments"] or "*", template)
    path, _, verb = plain.partition(":")
    return Pattern(tuple(path.strip("/").split("/")), verb)


def overlapping_routes(contract: Contract) -> Iterator[Fault]:
    """Two REST rules that one request can match."""
    rules = [(method, route) for method in contract.methods() for route in method.routes]
    for (method, route), (other, its) in combinations(rules, 2):
        if route.verb == its.verb and _meet(parse_pattern(route.path), parse_pattern(its.path)):
            yield Fault(
                other.path,
                f"{its.verb} {its.path} can match the same request as {route.path} of {method.path.lstrip('/')}",
                "change one of the paths",
            )


def _meet(one: Pattern, other: Pattern) -> bool:
    return one.verb == other.verb and _segments_meet(one.segments, other.segments)


def _segments_meet(one: Sequence[str], other: Sequence[str]) -> bool:
    for mine, its in zip(one, other, strict=False):
        if "**" in {mine, its}:
            return True
        if "*" not in {mine, its} and mine != its:
            return False
    shorter, longer = sorted((one, other), key=len)
    return len(shorter) == len(longer) or longer[len(shorter)] == "**"


def unmarked_stream(contract: Contract) -> Iterator[Fault]:
    """A stream over REST whose reader could not tell its end from a cut connection."""
    for method in contract.methods():
        if not (method.routes and method.server_streaming):
            continue
        message = contract.messages.get(method.response_type)
        if message is None or not any(field.name == "end" and _in_oneof(field) for field in message.field):
            yield Fault(
                method.path,
                f"it streams over REST, but {method.response_type} has no oneof with an `end`",
                "add zoco.mesh.v1.StreamEnd end to the oneof of its messages",
            )


def _in_oneof(field: FieldDescriptorProto) -> bool:
    return field.HasField("oneof_index") and not field.proto3_optional


def streamed_request(contract: Contract) -> Iterator[Fault]:
    """A REST rule of a method that takes a stream."""
    for method in contract.methods():
        if method.routes and method.client_streaming:
            yield Fault(method.path, "it takes a stream, which REST cannot send", "drop its REST rule")


def unbound_variable(contract: Contract) -> Iterator[Fault]:
    """A variable of a path, or a body, that is no field of the request."""
    for method in contract.methods():
        for route in method.routes:
            for variable in _variables(route):
                if contract.field(method.request_type, variable) is None:
                    yield Fault(
                        method.path,
                        f"{route.path} binds {variable}, which {method.request_type} does not have",
                        "name one of its fields",
                    )
            if route.body not in {"", "*"} and contract.field(method.request_type, route.body) is None:
                yield Fault(
                    method.path,
                    f'its body is "{route.body}", which {method.request_type} does not have',
                    "name one of its fields",
                )


def contradicting_body(contract: Contract) -> Iterator[Fault]:
    """A path that names a resource, and a body that can name another one in a field the path does not bind.

    Where the body holds the very field that the path binds, the edge refuses the request (the transcoder's
    reject_binding_body_field_collisions), or lets the path win where the body spells it in camel case. It knows nothing
    of a second field that means the same.
    """
    for method in contract.methods():
        for route in method.routes:
            bound = _variables(route)
            for variable in bound:
                for rival in _ids_in_body(contract, method, route):
                    if rival not in bound and _means_the_same(variable, rival):
                        yield Fault(
                            method.path,
                            f"{route.path} says {variable}, and {rival} in the body can contradict it",
                            f"bind {{{rival}}} in the path instead, or take {rival} out of the body",
                        )


def _variables(route: HttpRoute) -> tuple[str, ...]:
    return tuple(match["field"] for match in _VARIABLE.finditer(route.path))


def _ids_in_body(contract: Contract, method: MethodPolicy, route: HttpRoute) -> Iterator[str]:
    """Paths of the id fields that a body can set, one message deep."""
    request = contract.messages.get(method.request_type)
    if request is None or not route.body:
        return
    for field in request.field:
        if route.body not in {"*", field.name}:
            continue
        if _is_id(field):
            yield field.name
        for inner in _fields_of(contract.messages.get(field.type_name.lstrip(".")), field):
            if _is_id(inner):
                yield f"{field.name}.{inner.name}"


def _fields_of(message: DescriptorProto | None, field: FieldDescriptorProto) -> Sequence[FieldDescriptorProto]:
    return message.field if message and field.label != FieldDescriptorProto.LABEL_REPEATED else ()


def _is_id(field: FieldDescriptorProto) -> bool:
    return field.type == FieldDescriptorProto.TYPE_STRING and (field.name == "id" or field.name.endswith("_id"))


def _means_the_same(variable: str, rival: str) -> bool:
    """Whether two fields name one resource: `user_id`, `user.id` and, in a message `user`, `id`."""
    owner, _, name = rival.rpartition(".")
    meant = variable.replace(".", "_")
    return meant in {name, f"{owner}_{name}"} or (bool(owner) and meant == "id" and name == "id")
