"""Who may call what, rule by rule. Every layer is held against this function (tests/parity)."""

from datetime import timedelta
from typing import Any

import grpc
import pytest

from mesh.decision import Decision, Identity, Rule, TokenState, decide
from mesh.ids import uuid7
from mesh.policy import Audience, MethodPolicy

ME = uuid7()
SIDECAR = (Rule.EXPOSURE, Rule.CALLER)
AT_THE_EDGE = (Rule.EXPOSURE, Rule.TOKEN, Rule.ROLE)

NOBODY = Identity("edge")
CUSTOMER = Identity("edge", TokenState.VALID, ME, "CUSTOMER")
BOSS = Identity("edge", TokenState.VALID, uuid7(), "ADMIN")
EXPIRED = Identity("edge", TokenState.EXPIRED)
GARBAGE = Identity("edge", TokenState.INVALID)
ORDER = Identity("order")
STRANGER = Identity("stranger")
PLAIN = Identity(None)


def method(audience: Audience, *callers: str, **fields: Any) -> MethodPolicy:
    facts: dict[str, Any] = {
        "service": "sample.v1.SampleService",
        "name": "Do",
        "workload": "sample",
        "request_type": "sample.v1.DoRequest",
        "response_type": "sample.v1.DoResponse",
        "client_streaming": False,
        "server_streaming": False,
        "deadline": timedelta(seconds=1),
    }
    return MethodPolicy(**(facts | fields), audience=audience, callers=frozenset(callers))


def reason(decision: Decision) -> str:
    return "" if decision.allowed else decision.reason


TABLE = {
    Audience.NONE: ["NOT_EXPOSED"] * 5,
    Audience.PUBLIC: [""] * 5,
    Audience.USER: ["TOKEN_MISSING", "", "", "TOKEN_EXPIRED", "TOKEN_INVALID"],
    Audience.ADMIN: ["TOKEN_MISSING", "ROLE_REQUIRED", "", "TOKEN_EXPIRED", "TOKEN_INVALID"],
}


@pytest.mark.parametrize("audience", Audience)
def test_from_outside_the_audience_decides(audience: Audience) -> None:
    outside = (NOBODY, CUSTOMER, BOSS, EXPIRED, GARBAGE)
    assert [reason(decide(method(audience, "order"), each)) for each in outside] == TABLE[audience]


@pytest.mark.parametrize("audience", Audience)
def test_from_inside_the_list_of_callers_decides(audience: Audience) -> None:
    asked = method(audience, "order")
    assert [reason(decide(asked, each)) for each in (ORDER, STRANGER, PLAIN)] == [
        "",
        "CALLER_NOT_ALLOWED",
        "WORKLOAD_UNKNOWN",
    ]


def test_a_workload_needs_no_token_but_must_not_pass_on_a_bad_one() -> None:
    asked = method(Audience.USER, "order")
    assert decide(asked, Identity("order", TokenState.EXPIRED)).reason == "TOKEN_EXPIRED"
    assert decide(asked, Identity("order", TokenState.VALID, ME, "CUSTOMER")).allowed
    assert decide(method(Audience.NONE, "order"), Identity("order", TokenState.EXPIRED)).allowed
    assert decide(method(Audience.PUBLIC, "order"), Identity("order", TokenState.INVALID)).allowed


def test_a_workload_that_acts_for_a_person_may_no_more_than_the_person() -> None:
    rule, own = method(Audience.ADMIN, "order"), method(Audience.USER, "order", owner_field="id")
    for_customer = Identity("order", TokenState.VALID, ME, "CUSTOMER")
    for_boss = Identity("order", TokenState.VALID, uuid7(), "ADMIN")
    assert decide(rule, for_customer).reason == "ROLE_REQUIRED"
    assert decide(rule, for_boss).allowed
    assert decide(own, for_customer, owner=ME).allowed
    assert decide(own, for_customer, owner="me").allowed
    assert decide(own, for_customer, owner=uuid7()).reason == "RESOURCE_NOT_FOUND"
    assert decide(own, for_boss, owner=uuid7()).allowed
    assert decide(own, for_customer, owner=uuid7(), rules=SIDECAR).allowed


def test_a_workload_on_its_own_account_is_trusted_by_the_contract_alone() -> None:
    assert decide(method(Audience.ADMIN, "order"), ORDER).allowed
    assert decide(method(Audience.USER, "order", owner_field="id"), ORDER, owner=uuid7()).allowed


def test_a_workload_that_may_not_call_hears_nothing_of_its_token() -> None:
    assert decide(method(Audience.USER), Identity("order", TokenState.EXPIRED)).reason == "CALLER_NOT_ALLOWED"


def test_the_owner_is_who_the_token_names() -> None:
    asked = method(Audience.USER, owner_field="user.id")
    assert decide(asked, CUSTOMER, owner=ME).allowed
    assert decide(asked, CUSTOMER, owner=ME.upper()).allowed
    assert decide(asked, CUSTOMER, owner="me").allowed
    assert decide(asked, BOSS, owner=ME).allowed
    refused = decide(asked, CUSTOMER, owner=uuid7())
    assert (refused.rule, refused.code) == (Rule.OWNER, grpc.StatusCode.NOT_FOUND)


def test_an_owner_that_is_not_known_is_not_asked_for() -> None:
    assert decide(method(Audience.USER, owner_field="id"), CUSTOMER).allowed


def test_a_layer_asks_only_the_rules_it_can_know() -> None:
    admin_only, inside = method(Audience.ADMIN, "order", owner_field="id"), method(Audience.NONE, "order")
    assert decide(admin_only, NOBODY, rules=SIDECAR).allowed
    assert decide(admin_only, STRANGER, rules=SIDECAR).reason == "CALLER_NOT_ALLOWED"
    assert decide(inside, NOBODY, rules=SIDECAR).reason == "NOT_EXPOSED"
    assert decide(admin_only, CUSTOMER, rules=AT_THE_EDGE).reason == "ROLE_REQUIRED"
    assert decide(method(Audience.USER, owner_field="id"), CUSTOMER, owner=uuid7(), rules=AT_THE_EDGE).allowed
    assert decide(inside, NOBODY, rules=AT_THE_EDGE).reason == "NOT_EXPOSED"
    assert decide(admin_only, STRANGER, rules=AT_THE_EDGE).allowed


def test_a_decision_quotes_the_line_of_the_contract() -> None:
    asked = method(Audience.ADMIN, "order", "analytics", owner_field="id")
    assert decide(asked, CUSTOMER).line == "access.edge: EDGE_AUDIENCE_ADMIN"
    assert decide(asked, STRANGER).line == 'access.callers: ["analytics", "order"]'
    assert decide(asked, ORDER).line == 'access.callers: ["analytics", "order"]'
    owned = method(Audience.USER, owner_field="id")
    assert decide(owned, CUSTOMER, owner=uuid7()).line == 'access.owner_field: "id"'
