"""What contracts say about events is checked when they are compiled, and is what services really do."""

from importlib import import_module
from importlib.util import find_spec
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import (
    DescriptorProto,
    FieldDescriptorProto,
    FileDescriptorProto,
    FileDescriptorSet,
    ServiceDescriptorProto,
)

from mesh.bus.accounts import emit, permissions
from mesh.bus.contract import load_events, read_events
from mesh.compiler import CompileError
from mesh.policy import PolicyError
from zoco.mesh.v1 import policy_pb2

SHOP = load_events()


@pytest.mark.parametrize("workload", SHOP.workloads)
def test_a_service_subscribes_to_what_its_contract_says(workload: str) -> None:
    subscribed: set[str] = set()
    if find_spec(f"services.{workload}.consumers"):
        nobody: Any = None  # the table says which events; what handles them is not asked here
        table = import_module(f"services.{workload}.consumers").subscriptions(nobody)
        subscribed = {subscription.subject for subscription in table}
    assert subscribed == set(SHOP.workloads[workload].consumes)


def test_a_workload_is_the_area_of_its_events() -> None:
    """The relay names the stream by its workload: its account must let it."""
    assert {name: events.areas for name, events in SHOP.workloads.items()} == {name: (name,) for name in SHOP.workloads}


def test_whoever_serves_people_hears_whose_tokens_end() -> None:
    assert SHOP.revoking.keys() >= {"zoco.user.v1.UserDisabled", "zoco.user.v1.UserDeleted"}
    for name, events in SHOP.workloads.items():
        assert events.verifies_tokens
        assert SHOP.revoking.keys() <= set(permissions(name, SHOP).subscribe)


def test_no_permission_spans_two_workloads() -> None:
    """Nothing that a workload may publish is published by another, but for the events that all of them follow."""
    for name in SHOP.workloads:
        granted = permissions(name, SHOP)
        assert not [subject for subject in granted.publish if subject in (">", "*") or subject.startswith(("*", ">"))]
        for other in SHOP.workloads.keys() - {name}:
            shared = set(granted.publish) & set(permissions(other, SHOP).publish)
            assert all(subject.startswith("$JS.API.CONSUMER.CREATE.zoco-user.*.zoco.user.v1.") for subject in shared)


def contracts(*, field: str = "", consumes: str = "", package: str = "zoco.club.v1") -> FileDescriptorSet:
    """An area with an event of a person's id, a count and some tags, and a service."""
    string, number = FieldDescriptorProto.TYPE_STRING, FieldDescriptorProto.TYPE_INT32
    one, many = FieldDescriptorProto.LABEL_OPTIONAL, FieldDescriptorProto.LABEL_REPEATED
    event = DescriptorProto(
        name="Left",
        field=[
            FieldDescriptorProto(name="member_id", number=1, type=string, label=one),
            FieldDescriptorProto(name="count", number=2, type=number, label=one),
            FieldDescriptorProto(name="tags", number=3, type=string, label=many),
        ],
    )
    event.options.Extensions[policy_pb2.event].revokes_tokens_of = field
    service = ServiceDescriptorProto(name="ClubService")
    service.options.Extensions[policy_pb2.service].workload = "club"
    if consumes:
        service.options.Extensions[policy_pb2.service].consumes.append(consumes)
    name = f"{package.replace('.', '/')}/club.proto"
    return FileDescriptorSet(
        file=[FileDescriptorProto(name=name, package=package, message_type=[event], service=[service])]
    )


def test_a_good_contract_says_whose_tokens_end() -> None:
    assert read_events(contracts(field="member_id")).revoking == {"zoco.club.v1.Left": "member_id"}
    assert read_events(contracts()).revoking == {}


@pytest.mark.parametrize(
    ("wrong", "sentence"),
    [
        ({"field": "user_id"}, "zoco/club/v1/club.proto: Left: revokes_tokens_of names user_id, which is no field"),
        ({"field": "count"}, "zoco/club/v1/club.proto: Left: revokes_tokens_of names count, which is no single string"),
        ({"field": "tags"}, "zoco/club/v1/club.proto: Left: revokes_tokens_of names tags, which is no single string"),
        (
            {"field": "member_id", "package": "club.v1"},
            "club/v1/club.proto: Left: club.v1.Left is not of the form zoco.",
        ),
        ({"consumes": "club.v1.Left"}, "club.proto: ClubService: club.v1.Left is not of the form zoco."),
    ],
)
def test_a_contract_that_breaks_a_rule_is_named_with_the_remedy(wrong: dict[str, str], sentence: str) -> None:
    with pytest.raises(PolicyError) as told:
        read_events(contracts(**wrong))
    assert sentence in str(told.value)
    assert "; " in str(told.value)
    assert "\n" not in str(told.value)
    with pytest.raises(CompileError):
        emit(contracts(**wrong))
