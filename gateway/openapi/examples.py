"""Examples of requests: a body that the shop takes as it stands, but for ids that are another shop's."""

from collections.abc import Collection, Mapping
from typing import Any, Final

from google.api.field_behavior_pb2 import FieldBehavior, field_behavior
from google.protobuf.descriptor_pb2 import FieldDescriptorProto as Field

from gateway.openapi.constraints import rules
from gateway.openapi.contract import Types

_ID: Final = "0192d4e8-5c3a-7b1e-9f20-4a6b8c0d1e2f"

_MESSAGES: Final[Mapping[str, Any]] = {
    "google.type.Money": {"currencyCode": "EUR", "units": "12", "nanos": 500_000_000},
    "google.type.PostalAddress": {
        "regionCode": "DE",
        "postalCode": "10115",
        "locality": "Berlin",
        "addressLines": ["Invalidenstraße 1"],
        "recipients": ["Ada Example"],
    },
    "google.protobuf.Timestamp": "2026-01-31T12:00:00Z",
    "google.protobuf.Duration": "60s",
    "google.protobuf.FieldMask": "name,description",
}

_BY_NAME: Final[Mapping[str, Any]] = {
    "card": "tok_visa",
    "carrier": "DHL",
    "currency": "EUR",
    "current_password": "correct horse battery staple",
    "delta": 5,
    "description": "A teapot that pours without a drop.",
    "display_name": "Ada Example",
    "email": "ada@example.com",
    "image_url": "https://images.example.com/teapot.jpg",
    "name": "Teapot",
    "new_password": "correct horse battery staple 2",
    "password": "correct horse battery staple",
    "payment_token": "tok_visa",
    "price": "12.50",
    "quantity": 1,
    "reason": "found in the other store",
    "tracking_number": "00340434161094015902",
    "url": "https://hooks.example.com/zoco",
}
"""What fields hold that are called so, unless their type says more."""


def example(types: Types, message: str, *, without: Collection[str] = ()) -> dict[str, Any]:
    """Give an example of a message in JSON, without what only answers have.

    Args:
        types: what the contracts declare.
        message: its full name.
        without: names of fields that are not in it.
    """
    return {
        field.json_name: _value(types, field)
        for field in types.messages[message].field
        if field.name not in without and not _is_of_answers(field)
    }


def _is_of_answers(field: Field) -> bool:
    return FieldBehavior.OUTPUT_ONLY in field.options.Extensions[field_behavior] or field.name in {
        "etag",  # an example cannot know it
        "request_id",  # a key is good for one request, and an example is sent by many
        "update_time",
    }


def _value(types: Types, field: Field) -> Any:
    one = _one(types, field)
    if field.type == Field.TYPE_MESSAGE and types.messages[field.type_name[1:]].options.map_entry:
        return {"colour": "blue"}
    return [one] if field.label == Field.LABEL_REPEATED else one


def _one(types: Types, field: Field) -> Any:
    name = field.type_name[1:]
    match field.type:
        case Field.TYPE_MESSAGE:
            return _MESSAGES[name] if name in _MESSAGES else example(types, name)
        case Field.TYPE_ENUM:
            return types.enums[name].value[1].name
        case Field.TYPE_BOOL:
            return True
        case Field.TYPE_STRING:
            found = rules(field)
            allowed = getattr(found.string, "in") or getattr(found.repeated.items.string, "in")
            if allowed:
                return allowed[0]
            is_id = found.string.uuid or field.name.endswith("_id")
            return _ID if is_id else _BY_NAME.get(field.name, "text")
        case _:
            return _BY_NAME.get(field.name, 1)
