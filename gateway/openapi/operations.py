"""One operation of the document for each REST rule of a contract."""

import re
from collections.abc import Collection, Iterator
from datetime import timedelta
from typing import Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from gateway.contract import Surface
from gateway.openapi.constraints import Schema
from gateway.openapi.contract import Types
from gateway.openapi.errors import REQUEST_ID, error_responses
from gateway.openapi.examples import example
from gateway.openapi.schemas import Schemas, Use, is_required
from gateway.templates import parse_template
from mesh.policy import Audience, HttpRoute, MethodPolicy

BEARER: Final = "accessToken"
"""The name of the one security scheme."""

_ERRORS: Final = re.compile(r"\s*Errors: [^\n]*$", re.MULTILINE)

_IDEMPOTENCY_KEY: Final = {
    "name": "Idempotency-Key",
    "in": "header",
    "description": "Chosen by the client; a repeat under the same key gets the first answer again, byte for byte.",
    "schema": {"type": "string", "maxLength": 128},
}
_LAST_EVENT_ID: Final = {
    "name": "Last-Event-ID",
    "in": "header",
    "description": "The id of the last event that was received: the stream goes on behind it.",
    "schema": {"type": "string", "maxLength": 128},
}


class Operations:
    """Makes operations.

    Args:
        surface: what is exposed.
        types: what the contracts declare.
        schemas: where schemas are made, and kept.
    """

    def __init__(self, surface: Surface, types: Types, schemas: Schemas) -> None:
        self._surface = surface
        self._types = types
        self._schemas = schemas

    def operation(self, method: MethodPolicy, route: HttpRoute) -> Schema:
        """Give the operation of one REST rule."""
        body = self._body(method, route)
        operation: Schema = {
            "operationId": method.name[0].lower() + method.name[1:],
            "tags": [method.service.rpartition(".")[2]],
            **self._said(method),
        }
        if parameters := list(self._parameters(method, route)):
            operation["parameters"] = parameters
        if body:
            operation["requestBody"] = body
        operation["responses"] = {
            "200": self._answer(method),
            **error_responses(method, self._types, self._schemas, has_body=bool(body)),
        }
        operation["security"] = [{BEARER: []}] if method.needs_user else [{}, {BEARER: []}]
        return operation

    def _said(self, method: MethodPolicy) -> Schema:
        summary, _, rest = self._types.comment(f"{method.service}.{method.name}").partition("\n\n")
        rest = _ERRORS.sub("", rest)  # the responses tell them
        return {"summary": summary, "description": "\n\n".join(filter(None, (rest, _promises(method))))}

    def _parameters(self, method: MethodPolicy, route: HttpRoute) -> Iterator[Schema]:
        in_path = parse_template(route.path).variables
        for path in in_path:
            owner, field = self._owner(method.request_type, path)
            schema = self._schemas.field(owner, field, Use.REQUEST)
            yield _parameter(path_name(path), "path", schema, required=True)
        if route.body != "*":
            taken = {*in_path, route.body}
            yield from self._query(method.request_type, "", taken)
        if method.keyed:
            yield dict(_IDEMPOTENCY_KEY)
        if method.server_streaming:
            yield dict(_LAST_EVENT_ID)

    def _query(self, message: str, prefix: str, taken: Collection[str]) -> Iterator[Schema]:
        """Give the query parameters of a message: its fields, those of messages within it by their paths."""
        for field in self._types.messages[message].field:
            path = f"{prefix}{field.name}"
            if path in taken:
                continue
            name = field.type_name[1:]
            schema = self._schemas.field(message, field, Use.REQUEST)
            if field.type == Field.TYPE_MESSAGE and "$ref" in schema:
                yield from self._query(name, f"{path}.", taken)
                continue
            json_path = f"{''.join(camel(part) + '.' for part in prefix.split('.')[:-1])}{field.json_name}"
            yield _parameter(json_path, "query", schema, required=is_required(field, Use.REQUEST))

    def _body(self, method: MethodPolicy, route: HttpRoute) -> Schema | None:
        if not route.body:
            return None
        if not self._surface.takes_json(method, route):
            return {"required": True, "content": {"*/*": {"schema": {}}}, "description": "Anything, as it comes."}
        in_path = parse_template(route.path).variables
        use = Use.CHANGE if route.verb == "PATCH" else Use.REQUEST
        if route.body == "*":
            schema = self._schemas.request(method.request_type, use, without=in_path)
            content = {"schema": schema, "example": example(self._types, method.request_type, without=in_path)}
            needed = self._schemas.object(method.request_type, use, without=in_path).get("required")
            return {"required": bool(needed), "content": {"application/json": content}}
        field = self._types.field(method.request_type, route.body)
        name = field.type_name[1:]
        content = {"schema": self._schemas.message(name, use), "example": example(self._types, name)}
        return {"required": True, "content": {"application/json": content}}

    def _answer(self, method: MethodPolicy) -> Schema:
        headers = dict(REQUEST_ID)
        schema = self._schemas.message(method.response_type, Use.ANSWER)
        if method.server_streaming:
            events = {
                "type": "string",
                "contentMediaType": "application/json",
                "contentSchema": schema,
                "description": "Server-sent events (HTML, 9.2); the data of each is one message of `contentSchema`.",
            }
            return {
                "description": "Events, until the client leaves, the end is reached or the longest life is over.",
                "headers": headers,
                "content": {"text/event-stream": {"schema": events}},
            }
        return {
            "description": self._types.comment(method.response_type) or "Done.",
            "headers": headers,
            "content": {"application/json": {"schema": schema}},
        }

    def _owner(self, message: str, path: str) -> tuple[str, Field]:
        head, _, rest = path.partition(".")
        field = self._types.field(message, head)
        return self._owner(field.type_name[1:], rest) if rest else (message, field)


def path_of(route: HttpRoute) -> str:
    """Give a rule's path as OpenAPI has it, with variables named as in JSON."""
    return re.sub(r"\{([^{}=]+)[^{}]*\}", lambda variable: f"{{{path_name(variable[1])}}}", route.path)


def path_name(field_path: str) -> str:
    """Give the name of a path variable: `product.id` is `id`, so that all rules of a path call it the same."""
    return camel(field_path.rpartition(".")[2])


def camel(name: str) -> str:
    """Give a field's name in lowerCamelCase."""
    head, *tail = name.split("_")
    return head + "".join(part[:1].upper() + part[1:] for part in tail)


def _parameter(name: str, where: str, schema: Schema, *, required: bool) -> Schema:
    said = schema.pop("description", "")
    schema.pop("readOnly", None)  # of the field where it is answered; here it says which one
    parameter: Schema = {"name": name, "in": where, "schema": schema}
    if said:
        parameter["description"] = said
    if required:
        parameter["required"] = True
    if schema.get("type") == "array":
        parameter |= {"style": "form", "explode": True}
    return parameter


def _promises(method: MethodPolicy) -> str:
    """Give what the contract's options promise, in words."""
    who = {
        Audience.PUBLIC: "For anybody.",
        Audience.USER: "For whoever is logged in.",
        Audience.ADMIN: "For administrators.",
    }[method.audience]
    repeats = (
        "Safe to repeat under an idempotency key."
        if method.keyed
        else "Safe to repeat."
        if method.idempotent
        else "Not to be repeated blindly."
    )
    ends = f"Ends after {_in_words(method.deadline)} at the latest."
    return f"{who} {repeats} {ends}"


def _in_words(duration: timedelta) -> str:
    seconds = duration.total_seconds()
    return f"{seconds / 60:g} minutes" if seconds >= 120 and seconds % 60 == 0 else f"{seconds:g} seconds"
