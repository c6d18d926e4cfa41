"""Messages of the contracts as JSON Schemas: what proto3 JSON makes of them, as answers and as requests.

Source: https://protobuf.dev/programming-guides/json/. A message that is both asked for and answered has two schemas:
answers show every field that has no presence of its own, requests need only what is required.
"""

from collections.abc import Collection, Iterator, Mapping
from enum import Enum
from typing import Final

from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf.descriptor_pb2 import DescriptorProto, FieldDescriptorProto

from gateway.contract import ContractError
from gateway.openapi.constraints import Schema, UnknownRule, apply, rules
from gateway.openapi.contract import Types

Field = FieldDescriptorProto

_INT32: Final[Schema] = {"type": "integer", "format": "int32"}
_UINT32: Final[Schema] = {"type": "integer", "minimum": 0, "maximum": 2**32 - 1}
# 64 bits are more than a JavaScript number holds.
_INT64: Final[Schema] = {"type": "string", "format": "int64", "pattern": "^-?[0-9]{1,19}$"}
_UINT64: Final[Schema] = {"type": "string", "format": "uint64", "pattern": "^[0-9]{1,20}$"}

_SCALARS: Final[Mapping["Field.Type.ValueType", Schema]] = {
    Field.TYPE_INT32: _INT32,
    Field.TYPE_SINT32: _INT32,
    Field.TYPE_SFIXED32: _INT32,
    Field.TYPE_UINT32: _UINT32,
    Field.TYPE_FIXED32: _UINT32,
    Field.TYPE_INT64: _INT64,
    Field.TYPE_SINT64: _INT64,
    Field.TYPE_SFIXED64: _INT64,
    Field.TYPE_UINT64: _UINT64,
    Field.TYPE_FIXED64: _UINT64,
    Field.TYPE_DOUBLE: {"type": "number", "format": "double"},
    Field.TYPE_FLOAT: {"type": "number", "format": "float"},
    Field.TYPE_BOOL: {"type": "boolean"},
    Field.TYPE_STRING: {"type": "string"},
    Field.TYPE_BYTES: {"type": "string", "contentEncoding": "base64"},
}

_WELL_KNOWN: Final[Mapping[str, Schema]] = {
    "google.protobuf.Timestamp": {"type": "string", "format": "date-time"},
    "google.protobuf.Duration": {"type": "string", "pattern": r"^-?[0-9]+(\.[0-9]{1,9})?s$"},
    "google.protobuf.FieldMask": {"type": "string"},
    "google.protobuf.Struct": {"type": "object", "additionalProperties": True},
    "google.protobuf.Any": {"$ref": "#/components/schemas/ErrorDetail"},
    "google.api.HttpBody": {},
}

_NAMES: Final[Mapping[str, str]] = {"google.rpc.Status": "Error"}
"""Messages that have another name here."""


class Use(Enum):
    """What a schema is for; the suffix of its name where the message has several."""

    ANSWER = ""
    REQUEST = "Input"
    CHANGE = "Patch"
    """A partial update: what is given is changed, so nothing is required."""


class Schemas:
    """The schemas that a document refers to.

    Args:
        types: what the contracts declare.
        answers: full names of the messages that RPCs answer with.

    Attributes:
        components: those made so far, by name.
    """

    def __init__(self, types: Types, answers: Collection[str]) -> None:
        self.types = types
        self.components: dict[str, Schema] = {}
        self._made_of: dict[str, tuple[str, Use]] = {}
        self._answers = frozenset(_reachable(types, answers))

    def message(self, name: str, use: Use) -> Schema:
        """Give the schema of a message, which is a reference to a component unless JSON has a form of its own for it.

        Raises:
            ContractError: two messages would have one name, or a rule has no translation.
        """
        if name in _WELL_KNOWN:
            return dict(_WELL_KNOWN[name])
        suffix = use.value if use is Use.CHANGE or name in self._answers else ""
        component = self._claim(name, use, suffix)
        if component not in self.components:
            self.components[component] = {}  # claimed, for messages that hold themselves
            self.components[component] = self.object(name, use)
        return {"$ref": f"#/components/schemas/{component}"}

    def request(self, name: str, use: Use, *, without: Collection[str]) -> Schema:
        """Give the schema of a request's body: the message without what is in the path.

        Raises:
            ContractError: another rule of the RPC has another body.
        """
        component = self._claim(name, use, "")
        made = self.object(name, use, without=without)
        if self.components.setdefault(component, made) != made:
            raise ContractError(f"{name} has two different bodies in OpenAPI; its REST rules must take the same.")
        return {"$ref": f"#/components/schemas/{component}"}

    def object(self, name: str, use: Use, *, without: Collection[str] = ()) -> Schema:
        """Give the schema of a message itself.

        Args:
            name: the message's full name.
            use: what it is for.
            without: names of fields that are not in it, because they are in the path.
        """
        message = self.types.messages[name]
        fields = [field for field in message.field if field.name not in without]
        schema: Schema = {"type": "object"}
        if said := self.types.comment(name):
            schema["description"] = said
        schema["properties"] = {field.json_name: self.field(name, field, use) for field in fields}
        if required := [field.json_name for field in fields if is_required(field, use)]:
            schema["required"] = required
        return schema | self._oneofs(message, fields)

    def field(self, message: str, field: Field, use: Use) -> Schema:
        """Give the schema of a field of a message, with its comment and its rules."""
        schema = self._value(field, use)
        entry = self._map_entry(field)
        if entry is not None:
            schema = {"type": "object", "additionalProperties": self._value(entry.field[1], use)}
        elif field.label == Field.LABEL_REPEATED:
            schema = {"type": "array", "items": schema}
        if said := self.types.comment(f"{message}.{field.name}"):
            schema["description"] = said
        behaviour = field.options.Extensions[field_behavior]
        if FieldBehavior.OUTPUT_ONLY in behaviour:
            schema["readOnly"] = True
        if FieldBehavior.INPUT_ONLY in behaviour:
            schema["writeOnly"] = True
        if use is Use.ANSWER:
            return schema  # rules hold for what comes in
        try:
            return apply(schema, rules(field), self._value_names(field))
        except UnknownRule as unknown:
            raise ContractError(f"{message}.{field.name}: OpenAPI cannot say the rule {unknown} yet.") from unknown

    def _claim(self, name: str, use: Use, suffix: str) -> str:
        component = _NAMES.get(name) or _short(name)
        component += suffix
        taken = self._made_of.setdefault(component, (name, use))
        if taken[0] != name:
            raise ContractError(f"{name} and {taken[0]} would both be {component} in OpenAPI; one must be renamed.")
        return component

    def _value(self, field: Field, use: Use) -> Schema:
        name = field.type_name[1:]
        if field.type == Field.TYPE_MESSAGE:
            if self._map_entry(field) is not None:
                return {}
            # Within a partial update the parts are whole.
            return self.message(name, Use.REQUEST if use is Use.CHANGE else use)
        if field.type == Field.TYPE_ENUM:
            return self._enum(name)
        return dict(_SCALARS[field.type])

    def _enum(self, name: str) -> Schema:
        component = self._claim(name, Use.ANSWER, "")
        if component not in self.components:
            values = [value.name for value in self.types.enums[name].value]
            told = [f"- `{value}`: {self.types.comment(f'{name}.{value}')}" for value in values]
            said = "\n".join([self.types.comment(name), "", *told]).strip()
            self.components[component] = {"type": "string", "description": said, "enum": values}
        return {"$ref": f"#/components/schemas/{component}"}

    def _value_names(self, field: Field) -> Mapping[int, str]:
        if field.type != Field.TYPE_ENUM:
            return {}
        return {value.number: value.name for value in self.types.enums[field.type_name[1:]].value}

    def _map_entry(self, field: Field) -> DescriptorProto | None:
        if field.type != Field.TYPE_MESSAGE:
            return None
        message = self.types.messages[field.type_name[1:]]
        return message if message.options.map_entry else None

    @staticmethod
    def _oneofs(message: DescriptorProto, fields: Collection[Field]) -> Schema:
        """Say that exactly one field of each oneof is there: answers alone have them (streams)."""
        choices = [
            [{"required": [field.json_name]} for field in fields if field.oneof_index == number and _in_oneof(field)]
            for number, _ in enumerate(message.oneof_decl)
        ]
        chosen = [{"oneOf": each} for each in choices if each]
        if not chosen:
            return {}
        return chosen[0] if len(chosen) == 1 else {"allOf": chosen}


def _reachable(types: Types, names: Collection[str]) -> Iterator[str]:
    seen: set[str] = set()
    waiting = list(names)
    while waiting:
        name = waiting.pop()
        if name in seen:
            continue
        seen.add(name)
        yield name
        waiting += [field.type_name[1:] for field in types.messages[name].field if field.type == Field.TYPE_MESSAGE]


def is_required(field: Field, use: Use) -> bool:
    """Give whether a message needs a field to be there: as an answer has it, or as a request must."""
    match use:
        case Use.ANSWER:  # zero values are shown, unless the field can be absent
            return field.label == Field.LABEL_REPEATED or (
                field.type != Field.TYPE_MESSAGE and not field.proto3_optional and not _in_oneof(field)
            )
        case Use.REQUEST:
            return FieldBehavior.REQUIRED in field.options.Extensions[field_behavior]
        case Use.CHANGE:
            return False


def _in_oneof(field: Field) -> bool:
    return field.HasField("oneof_index") and not field.proto3_optional


def _short(name: str) -> str:
    """Give a name without its package: `zoco.order.v1.Order.State` is OrderState."""
    return "".join(part for part in name.split(".") if part[:1].isupper())
