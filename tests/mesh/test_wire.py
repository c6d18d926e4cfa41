"""What a request says in well-known messages is read exactly, or refused by field: never a fault of ours."""

import pytest
from google.protobuf.timestamp_pb2 import Timestamp
from google.type.money_pb2 import Money as MoneyMessage

from mesh.errors import InvalidArgument
from mesh.money import Money
from mesh.wire import moment_from_proto, money_from_proto, money_to_proto, plain_text


@pytest.mark.parametrize("money", [Money("EUR", -1), Money("EUR", 1250), Money("JPY", 7), Money("KWD", 2**63 - 1)])
def test_money_survives_the_wire(money: Money) -> None:
    assert money_from_proto(money_to_proto(money), field="amount") == money


@pytest.mark.parametrize(
    ("message", "field"),
    [
        (MoneyMessage(currency_code="eur", units=1), "amount.currency_code"),
        (MoneyMessage(units=1), "amount.currency_code"),
        (MoneyMessage(currency_code="EUR", units=1, nanos=-1), "amount.nanos"),
        (MoneyMessage(currency_code="EUR", nanos=1_000_000_000), "amount.nanos"),
        (MoneyMessage(currency_code="EUR", nanos=1), "amount.nanos"),
        (MoneyMessage(currency_code="JPY", nanos=500_000_000), "amount.nanos"),
        (MoneyMessage(currency_code="EUR", units=2**63 - 1), "amount.units"),
    ],
)
def test_what_is_no_money_is_refused_by_field(message: MoneyMessage, field: str) -> None:
    with pytest.raises(InvalidArgument) as refused:
        money_from_proto(message, field="amount")
    assert [violation.field for violation in refused.value.field_violations] == [field]


@pytest.mark.parametrize("seconds", [2**63 - 1, -(2**63), 253_402_300_800, -62_135_596_801])
def test_a_time_beyond_the_calendar_is_refused_by_field(seconds: int) -> None:
    with pytest.raises(InvalidArgument) as refused:
        moment_from_proto(Timestamp(seconds=seconds), field="as_of")
    assert [violation.field for violation in refused.value.field_violations] == ["as_of"]


def test_a_text_with_a_nul_is_refused_by_field() -> None:
    assert plain_text("Álava", field="reason") == "Álava"
    with pytest.raises(InvalidArgument) as refused:
        plain_text("a\0b", field="reason")
    assert [violation.field for violation in refused.value.field_violations] == ["reason"]
