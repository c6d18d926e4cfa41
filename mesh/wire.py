"""Translations between the well-known protobuf messages and the types that code computes with."""

from collections.abc import Collection
from datetime import UTC, datetime, timedelta

from google.api import field_behavior_pb2
from google.protobuf.field_mask_pb2 import FieldMask
from google.protobuf.message import Message
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money as MoneyMessage

from mesh.errors import invalid_field
from mesh.money import InvalidAmount, InvalidCurrency, Money, exponent

_NANOS = 1_000_000_000


def money_to_proto(money: Money) -> MoneyMessage:
    """Renders money as google.type.Money: whole units and billionths of one, both of the same sign."""
    scale = 10 ** exponent(money.currency)
    units, minor = divmod(abs(money.minor), scale)
    sign = -1 if money.minor < 0 else 1
    return MoneyMessage(currency_code=money.currency, units=sign * units, nanos=sign * minor * (_NANOS // scale))


def money_from_proto(message: MoneyMessage, *, field: str) -> Money:
    """Reads google.type.Money exactly.

    Args:
        message: The amount as it came.
        field: Path of the field, for the violation.

    Raises:
        InvalidArgument: An unknown currency, nanos out of range or of another sign than units, more decimals than the
            currency has, or more units than can be stored. Names the field.
    """
    currency = message.currency_code
    try:
        decimals = exponent(currency)
    except InvalidCurrency as unknown:
        raise invalid_field(f"{field}.currency_code", "must be an ISO 4217 code such as EUR") from unknown
    units, nanos = message.units, message.nanos
    if abs(nanos) >= _NANOS or units * nanos < 0:
        raise invalid_field(f"{field}.nanos", "must be within ±999,999,999 and of the same sign as units")
    scale = 10**decimals
    minor, rest = divmod(abs(nanos), _NANOS // scale)
    if rest:
        raise invalid_field(f"{field}.nanos", f"{currency} has {decimals} decimals")
    sign = -1 if units < 0 or nanos < 0 else 1
    try:
        return Money(currency, sign * (abs(units) * scale + minor))
    except InvalidAmount as beyond:
        raise invalid_field(f"{field}.units", "must be an amount that can be stored") from beyond


def timestamp_to_proto(moment: datetime) -> Timestamp:
    """Renders an aware time as google.protobuf.Timestamp, to the microsecond."""
    message = Timestamp()
    message.FromDatetime(moment.astimezone(UTC))
    return message


def timestamp_from_proto(message: Timestamp) -> datetime:
    """Reads google.protobuf.Timestamp as an aware UTC time; what is below a microsecond is cut off.

    Raises:
        ValueError: It lies outside of the years 1 to 9999. In a request, read it with `moment_from_proto`.
        OverflowError: Likewise, further away.
    """
    return message.ToDatetime(tzinfo=UTC)


def moment_from_proto(message: Timestamp, *, field: str) -> datetime:
    """Reads a time that a request names, which over gRPC may be any number.

    Args:
        message: The time as it came.
        field: Path of the field, for the violation.

    Raises:
        InvalidArgument: It lies outside of the years 1 to 9999.
    """
    try:
        return timestamp_from_proto(message)
    except (ValueError, OverflowError) as beyond:
        raise invalid_field(field, "must lie within the years 1 and 9999") from beyond


def canonical_id(value: str) -> str:
    """The canonical form of a UUID that validation has let through; hexadecimal digits may come in capitals."""
    return value.lower()


def plain_text(value: str, *, field: str) -> str:
    """A text that PostgreSQL can hold.

    Raises:
        InvalidArgument: It holds a NUL character.
    """
    if "\0" in value:
        raise invalid_field(field, "must not hold a NUL character")
    return value


def masked_fields(
    resource: Message, mask: FieldMask, allowed: Collection[str], *, field: str = "update_mask"
) -> frozenset[str]:
    """The fields an update changes (AIP-134).

    Without a mask, those that are set in the resource; `*` means all that may be changed. To clear a field, name it.
    What only goes out, and the etag, may stand in a mask and count for nothing there (AIP-203).

    Args:
        resource: The resource as it came.
        mask: The update mask as it came.
        allowed: Fields that may be changed.
        field: Path of the mask, for the violation.

    Raises:
        InvalidArgument: The mask names a field that does not exist or may not be changed.
    """
    if not mask.paths:
        return frozenset(descriptor.name for descriptor, _ in resource.ListFields() if descriptor.name in allowed)
    if list(mask.paths) == ["*"]:
        return frozenset(allowed)
    for path in mask.paths:
        if path not in allowed and not _is_the_servers(resource, path):
            raise invalid_field(field, f"{path!r} cannot be changed; what can is {', '.join(sorted(allowed))}")
    return frozenset(mask.paths) & frozenset(allowed)


def _is_the_servers(resource: Message, path: str) -> bool:
    """Whether a path is that of a field that only the server fills in."""
    field = resource.DESCRIPTOR.fields_by_name.get(path)
    if field is None:
        return False
    behaviors = field.GetOptions().Extensions[field_behavior_pb2.field_behavior]
    return field.name == "etag" or field_behavior_pb2.OUTPUT_ONLY in behaviors


def json_duration(duration: timedelta | float) -> str:
    """A google.protobuf.Duration in its JSON form, to the millisecond, such as `0.05s`. A number is seconds."""
    value = duration.total_seconds() if isinstance(duration, timedelta) else duration
    return f"{value:.3f}".rstrip("0").rstrip(".") + "s"
