"""Validation rules of the contracts (buf.validate) as constraints of JSON Schema, as far as it can say them."""

from collections.abc import Mapping
from types import MappingProxyType
from typing import Any, Final

from google.protobuf.descriptor_pb2 import FieldDescriptorProto
from google.protobuf.message import Message

from buf.validate.validate_pb2 import FieldRules
from buf.validate.validate_pb2 import field as rules_of
from mesh.wire import json_duration

Schema = dict[str, Any]
"""A JSON Schema (2020-12), as OpenAPI 3.1 has them."""

_STRINGS: Final[Mapping[str, str]] = {"min_len": "minLength", "max_len": "maxLength", "pattern": "pattern"}
_FORMATS: Final[Mapping[str, str]] = {"uuid": "uuid", "email": "email", "uri": "uri", "hostname": "hostname"}
_NUMBERS: Final[Mapping[str, str]] = {
    "gte": "minimum",
    "lte": "maximum",
    "gt": "exclusiveMinimum",
    "lt": "exclusiveMaximum",
}
_NUMERIC: Final = frozenset({"int32", "uint32", "sint32", "float", "double"})


class UnknownRule(Exception):
    """A rule that is not translated yet: the document would promise more than the shop takes. Names the rule."""


def rules(field: FieldDescriptorProto) -> FieldRules:
    """Give the rules of a field; empty ones if it has none."""
    found: FieldRules = field.options.Extensions[rules_of]
    return found


def apply(schema: Schema, found: FieldRules, names: Mapping[int, str] = MappingProxyType({})) -> Schema:
    """Give a field's schema with what its rules add.

    What JSON Schema has no word for (CEL) is added to the description in the words of its message.

    Args:
        schema: of the field without its rules.
        found: the rules.
        names: of the values of the field's enum, by number: rules have numbers, JSON has names.

    Raises:
        UnknownRule: there is a rule that is not translated.
    """
    kind = found.WhichOneof("type")
    schema = dict(schema)
    if kind == "string":
        schema |= _string(found.string)
    elif kind in _NUMERIC:
        schema |= _number(getattr(found, kind), kind)
    elif kind == "repeated":
        schema |= _repeated(schema, found, names)
    elif kind == "map":
        schema |= _map(schema, found)
    elif kind == "enum":
        if found.enum.not_in:
            schema["not"] = {"enum": [names[number] for number in found.enum.not_in]}
    elif kind == "duration":
        schema["description"] = f"{schema.get('description', '')} {_bounds(found.duration)}".strip()
    elif kind is not None:
        raise UnknownRule(kind)
    for rule in found.cel:
        schema["description"] = f"{schema.get('description', '')} Refused with: “{rule.message}”.".strip()
    return schema


def _string(found: Message) -> Schema:
    schema: Schema = {}
    for rule, value in found.ListFields():
        if rule.name in _STRINGS:
            schema[_STRINGS[rule.name]] = value
        elif rule.name in _FORMATS:
            schema["format"] = _FORMATS[rule.name]
        elif rule.name == "in":
            schema["enum"] = list(value)
        else:
            raise UnknownRule(f"string.{rule.name}")
    return schema


def _number(found: Message, kind: str) -> Schema:
    schema: Schema = {}
    for rule, value in found.ListFields():
        if rule.name in _NUMBERS:
            schema[_NUMBERS[rule.name]] = value
        elif rule.name == "in":
            schema["enum"] = list(value)
        elif rule.name == "not_in":
            schema["not"] = {"enum": list(value)}
        else:
            raise UnknownRule(f"{kind}.{rule.name}")
    return schema


def _bounds(found: Message) -> str:
    """Give the bounds of a duration in words: in JSON it is text, which JSON Schema cannot compare."""
    words = {"gte": "at least", "lte": "at most", "gt": "more than", "lt": "less than"}
    told = []
    for rule, value in found.ListFields():
        if rule.name not in words:
            raise UnknownRule(f"duration.{rule.name}")
        told.append(f"{words[rule.name]} {json_duration(value.ToTimedelta())}")
    return f"{', '.join(told).capitalize()}."


def _repeated(schema: Schema, found: FieldRules, names: Mapping[int, str]) -> Schema:
    rule, added = found.repeated, Schema()
    if rule.HasField("min_items"):
        added["minItems"] = rule.min_items
    if rule.HasField("max_items"):
        added["maxItems"] = rule.max_items
    if rule.unique:
        added["uniqueItems"] = True
    if rule.HasField("items"):
        added["items"] = apply(schema["items"], rule.items, names)
    return added


def _map(schema: Schema, found: FieldRules) -> Schema:
    rule, added = found.map, Schema()
    if rule.HasField("max_pairs"):
        added["maxProperties"] = rule.max_pairs
    if rule.HasField("min_pairs"):
        added["minProperties"] = rule.min_pairs
    if rule.HasField("keys"):
        added["propertyNames"] = apply({}, rule.keys)
    if rule.HasField("values"):
        added["additionalProperties"] = apply(schema["additionalProperties"], rule.values)
    return added
