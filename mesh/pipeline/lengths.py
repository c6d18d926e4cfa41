"""How long the lists of a request may be, read off its contract's rules, to be looked at before what is in them.

Validation looks at everything and tells everything, so a list of a million empty elements would hold the event loop for
minutes: a rule that compares its elements with each other costs their square, and each has violations of its own.
"""

from collections.abc import Callable, Iterator, Sequence
from typing import Any, NamedTuple

from google.protobuf.descriptor import Descriptor
from google.protobuf.message import Message

from buf.validate import validate_pb2
from mesh.errors import FieldViolation, InvalidArgument


class Limit(NamedTuple):
    """How long a list may be."""

    path: str
    """Of the field, as the contract spells it."""
    rule: str
    """Which rule of buf.validate says so."""
    most: int
    length: Callable[[Any], int]
    """How long it is in a request."""


def limits_of(descriptor: Descriptor) -> Sequence[Limit]:
    """The limits of all lists and maps that hang on a request without another list between."""
    return tuple(_find(descriptor, (), frozenset()))


def check_lengths(request: Message, limits: Sequence[Limit]) -> None:
    """Refuses a request with a list or map that has more elements than its contract allows.

    Raises:
        InvalidArgument: INVALID_FIELD, naming each such field.
    """
    found = [
        FieldViolation(each.path, f"must contain no more than {each.most} item(s)", each.rule)
        for each in limits
        if each.length(request) > each.most
    ]
    if found:
        summary = "; ".join(f"{each.field}: {each.description}" for each in found[:3])
        raise InvalidArgument("INVALID_FIELD", summary, field_violations=found)


def _find(descriptor: Descriptor, parents: tuple[str, ...], above: frozenset[str]) -> Iterator[Limit]:
    for field in descriptor.fields:
        path = (*parents, field.name)
        inner = field.message_type
        if field.is_repeated:
            rules = field.GetOptions().Extensions[validate_pb2.field]
            if rules.repeated.HasField("max_items"):
                yield Limit(".".join(path), "repeated.max_items", rules.repeated.max_items, _length_at(path))
            if rules.map.HasField("max_pairs"):
                yield Limit(".".join(path), "map.max_pairs", rules.map.max_pairs, _length_at(path))
        elif inner is not None and inner.full_name not in above:
            yield from _find(inner, path, above | {descriptor.full_name})


def _length_at(path: tuple[str, ...]) -> Callable[[Any], int]:
    *parents, last = path

    def length(request: Any) -> int:
        for name in parents:
            request = getattr(request, name)
        return len(getattr(request, last))

    return length
