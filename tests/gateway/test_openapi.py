"""The OpenAPI document: valid, whole, exact, and the same for the same contracts."""

import json
from collections.abc import Iterator, Mapping
from importlib import import_module
from pkgutil import iter_modules
from typing import Any

import protovalidate
import pytest
from google.protobuf import descriptor_pool, json_format, message_factory
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from google.protobuf.message import Message
from openapi_schema_validator import OAS31Validator
from openapi_spec_validator import OpenAPIV31SpecValidator

from buf.validate.validate_pb2 import field as rules
from gateway.contract import ContractError
from gateway.openapi.contract import Types, read_types
from gateway.openapi.document import GENERATED, document, emit
from gateway.openapi.operations import path_of
from gateway.templates import parse_template
from mesh.policy import DESCRIPTORS, Audience, HttpRoute, MethodPolicy, load_policy

EXPOSED = [each for each in load_policy().methods.values() if each.audience is not Audience.NONE]
ROUTES = [(method, route) for method in EXPOSED for route in method.routes]
WITH_BODY = [(method, route) for method, route in ROUTES if route.body]


def _name(value: MethodPolicy | HttpRoute) -> str:
    return f"{value.verb} {value.path}" if isinstance(value, HttpRoute) else ""


by_route = pytest.mark.parametrize(("method", "route"), ROUTES, ids=_name)


def _descriptors() -> FileDescriptorSet:
    return FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return document(_descriptors())


@pytest.fixture(scope="module")
def types() -> Types:
    return read_types(_descriptors())


def test_it_is_valid(made: dict[str, Any]) -> None:
    OpenAPIV31SpecValidator(made).validate()


def test_the_same_contracts_give_the_same_bytes_and_those_are_committed() -> None:
    shuffled = FileDescriptorSet()
    shuffled.file.extend(reversed(_descriptors().file))
    assert emit(shuffled) == emit(_descriptors())
    assert emit(_descriptors())[GENERATED] == (DESCRIPTORS.parent / GENERATED).read_bytes()


def test_it_has_an_operation_for_every_rest_rule_and_no_other_but_the_health(made: dict[str, Any]) -> None:
    told = {(verb.upper(), path) for path, item in made["paths"].items() for verb in item}
    assert told == {(route.verb, path_of(route)) for _, route in ROUTES} | {("GET", "/healthz")}


def test_nothing_of_what_is_not_exposed_stands_in_it(made: dict[str, Any]) -> None:
    text = json.dumps(made)
    hidden = [each for each in load_policy().methods.values() if each.audience is Audience.NONE]
    assert hidden
    for method in hidden:
        assert method.request_type.rpartition(".")[2] not in text, method.path


@by_route
def test_an_operation_says_who_may_call_and_how_it_is_refused(
    made: dict[str, Any], method: MethodPolicy, route: HttpRoute
) -> None:
    operation = _operation(made, route)
    assert ({} in operation["security"]) == (method.audience is Audience.PUBLIC)
    statuses = set(operation["responses"])
    assert statuses >= {"200", "400", "429", "500", "503", "504"}
    assert ("401" in statuses) >= method.needs_user
    assert ("403" in statuses) >= (method.audience is Audience.ADMIN)
    assert ("404" in statuses) >= ("{" in route.path)
    assert ("409" in statuses) >= method.keyed
    assert ("415" in statuses) == bool(route.body)
    for status, response in operation["responses"].items():
        if status != "200":
            assert response["content"]["application/json"]["schema"] == {"$ref": "#/components/schemas/Error"}


@by_route
def test_every_variable_of_a_path_is_a_parameter(made: dict[str, Any], method: MethodPolicy, route: HttpRoute) -> None:
    operation = _operation(made, route)
    in_path = [each["name"] for each in operation.get("parameters", ()) if each["in"] == "path"]
    assert path_of(route).count("{") == len(in_path)
    assert all(f"{{{name}}}" in path_of(route) for name in in_path)


@pytest.mark.parametrize(("method", "route"), WITH_BODY, ids=_name)
def test_an_example_is_right_by_the_document_and_by_the_contract(
    made: dict[str, Any], types: Types, method: MethodPolicy, route: HttpRoute
) -> None:
    content = _operation(made, route)["requestBody"]["content"].get("application/json")
    if content is None:
        return  # anything is taken
    _validator(made, content["schema"]).validate(content["example"])
    name = method.request_type
    if route.body != "*":
        name = types.field(method.request_type, route.body).type_name[1:]
    message = _class(name)()
    json_format.ParseDict(content["example"], message)
    found = protovalidate.Validator().collect_violations(message)
    wrong = {violation.proto.field.elements[0].field_name for violation in found if violation.proto.field}
    assert wrong <= set(parse_template(route.path).variables)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"quantity": 0}, "less than the minimum"),
        ({"quantity": 10_001}, "greater than the maximum"),
        ({"productId": "no-uuid"}, "is not a 'uuid'"),
    ],
)
def test_a_rule_of_the_contract_is_a_constraint(made: dict[str, Any], change: Mapping[str, Any], told: str) -> None:
    line = {"productId": "0192d4e8-5c3a-7b1e-9f20-4a6b8c0d1e2f", "quantity": 1}
    check = _validator(made, {"$ref": "#/components/schemas/LineItem"})
    assert not list(check.iter_errors(line))
    errors = [error.message for error in check.iter_errors({**line, **change})]
    assert [error for error in errors if told in error], errors


def test_a_rule_that_cannot_be_said_is_refused_and_names_the_field() -> None:
    descriptors = _descriptors()
    file = next(each for each in descriptors.file if each.name == "zoco/order/v1/order_service.proto")
    message = next(each for each in file.message_type if each.name == "ShipOrderRequest")
    field = next(each for each in message.field if each.name == "carrier")
    field.options.Extensions[rules].string.hostname = False
    field.options.Extensions[rules].string.prefix = "D"
    with pytest.raises(ContractError, match=r"zoco\.order\.v1\.ShipOrderRequest\.carrier: .* string\.prefix"):
        document(descriptors)


def test_a_reason_that_a_comment_names_stands_under_its_status(made: dict[str, Any]) -> None:
    responses = made["paths"]["/v1/orders"]["post"]["responses"]
    assert "`INSUFFICIENT_STOCK`: Too little stock" in responses["400"]["description"]
    assert "`IDEMPOTENT_CALL_RUNNING`" in responses["409"]["description"]
    assert "INSUFFICIENT_STOCK" not in made["paths"]["/v1/orders/{id}"]["get"]["responses"]["400"]["description"]


def test_everything_in_it_is_described(made: dict[str, Any]) -> None:
    bare = [where for where, schema in _properties(made) if not schema.get("description") and "@type" not in where]
    assert not bare


def _class(name: str) -> type[Message]:
    package = name.rpartition(".")[0]
    module = import_module(package)
    for part in iter_modules(module.__path__):  # which of its files declares it, the contract does not say
        if part.name.endswith("_pb2"):
            import_module(f"{package}.{part.name}")
    return message_factory.GetMessageClass(descriptor_pool.Default().FindMessageTypeByName(name))


def _operation(made: dict[str, Any], route: HttpRoute) -> dict[str, Any]:
    operation: dict[str, Any] = made["paths"][path_of(route)][route.verb.lower()]
    return operation


def _validator(made: dict[str, Any], schema: dict[str, Any]) -> OAS31Validator:
    whole = {**schema, "components": made["components"]}
    return OAS31Validator(whole, format_checker=OAS31Validator.FORMAT_CHECKER)


def _properties(made: dict[str, Any]) -> Iterator[tuple[str, dict[str, Any]]]:
    for name, schema in made["components"]["schemas"].items():
        for field, found in schema.get("properties", {}).items():
            yield f"{name}.{field}", found
