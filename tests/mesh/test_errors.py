"""Typed errors survive the wire."""

from datetime import timedelta
from pathlib import Path

import grpc
import pytest
from google.rpc import status_pb2

from mesh import errors
from mesh.errors import FailedPrecondition, FieldViolation, InvalidArgument, MeshError, Precondition
from zoco.mesh.v1.error_reason_pb2 import ErrorReason

EVERY_CLASS = [
    each
    for each in vars(errors).values()
    if isinstance(each, type) and issubclass(each, MeshError) and each is not MeshError
]


@pytest.mark.parametrize("error_class", EVERY_CLASS, ids=lambda each: each.__name__)
def test_an_error_comes_back_as_its_own_class_with_all_it_carried(error_class: type[MeshError]) -> None:
    sent = error_class(
        "INSUFFICIENT_STOCK",
        "too few",
        metadata={"order_id": "o1"},
        field_violations=[FieldViolation("items[0].quantity", "must be positive", "int32.gt")],
        preconditions=[Precondition("STOCK", "p1", "3 available, 5 wanted")],
        resource=("order", "o1"),
        retry_after=timedelta(milliseconds=1500),
    )

    received = errors.from_status(errors.to_status(sent, request_id="r1"))

    assert type(received) is error_class
    assert vars(received) == vars(sent)


def test_a_reason_that_is_not_in_the_contract_is_refused_where_it_is_raised() -> None:
    with pytest.raises(ValueError, match="MADE_UP"):
        FailedPrecondition("MADE_UP", "no such reason")


@pytest.mark.parametrize("code", list(grpc.StatusCode), ids=lambda each: each.name)
def test_a_status_that_a_proxy_made_gets_a_reason_of_the_contract(code: grpc.StatusCode) -> None:
    received = errors.from_status(status_pb2.Status(code=code.value[0], message="upstream connect error"))

    assert received.reason in ErrorReason.keys()  # noqa: SIM118 - an enum wrapper is no dict
    assert received.code is code or isinstance(received, errors.Internal)


def test_a_reason_from_a_newer_neighbour_keeps_the_class() -> None:
    status = errors.to_status(InvalidArgument("INVALID_FIELD", "bad"), request_id="r1")
    packed = status.details[0]
    status.details[0].value = packed.value.replace(b"INVALID_FIELD", b"INVALID_FJORD")

    assert isinstance(errors.from_status(status), InvalidArgument)


def test_every_reason_of_the_contract_says_its_status_and_example_metadata() -> None:
    lines = Path("protos/zoco/mesh/v1/error_reason.proto").read_text().splitlines()
    comment = ""
    for line in lines:
        if line.strip().startswith("//"):
            comment += line
            continue
        if " = " in line and "UNSPECIFIED" not in line and "syntax" not in line:
            assert comment.rstrip().endswith("`"), f"no example metadata above {line.strip()}"
            assert any(code.name in comment for code in grpc.StatusCode), f"no status above {line.strip()}"
        comment = ""
