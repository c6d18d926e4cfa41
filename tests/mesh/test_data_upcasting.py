"""Old versions of stored events are lifted step by step, and only the last step knows the newest one."""

import pytest
from google.protobuf.message import Message
from google.protobuf.wrappers_pb2 import BoolValue, Int32Value, Int64Value, StringValue

from mesh.data.upcasting import NO_METADATA, Metadata, Upcasters


def chain() -> Upcasters:
    """Three versions: a count, a wider count, and a count with its unit."""
    steps = Upcasters()
    steps.step(Int32Value, lambda old, _: Int64Value(value=old.value))

    def with_unit(old: Int64Value, metadata: Metadata) -> StringValue:
        return StringValue(value=f"{old.value} {metadata.get('unit', 'pieces')}")

    steps.step(Int64Value, with_unit)
    return steps


@pytest.mark.parametrize("version", [Int32Value(value=7), Int64Value(value=7), StringValue(value="7 pieces")])
def test_every_version_becomes_the_newest(version: Message) -> None:
    assert chain().lift(version, NO_METADATA) == StringValue(value="7 pieces")


def test_a_step_reads_what_stood_beside_the_event() -> None:
    assert chain().lift(Int32Value(value=7), {"unit": "boxes"}) == StringValue(value="7 boxes")


def test_what_has_no_step_stays_as_it_is() -> None:
    assert chain().lift(BoolValue(value=True), NO_METADATA) == BoolValue(value=True)


def test_a_version_has_one_step() -> None:
    steps = chain()
    with pytest.raises(ValueError, match="Int32Value"):
        steps.step(Int32Value, lambda old, _: Int64Value(value=old.value))
