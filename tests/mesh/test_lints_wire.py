"""Lints on what travels: REST rules, streams, events."""

from pathlib import Path

import pytest

from tests.mesh.offending import HEADER, USER, findings, rest, rpc, said, service


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/v1/things/{id}", "/v1/things/me"),
        ("/v1/things/{id}:do", "/v1/things/{thing.id}:do"),
        ("/v1/{id=things/*}", "/v1/things/{id}"),
        ("/v1/{id=**}", "/v1/things/{id}"),
        ("/v1/things", "/v1/things"),
    ],
)
def test_two_rest_rules_that_can_match_one_request(tmp_path: Path, one: str, other: str) -> None:
    shop = service("shop", rpc("Buy", USER, rest("get", one)), rpc("Look", USER, rest("get", other)))
    assert said(tmp_path, shop) == [
        (
            f"protos/shop/v1/service.proto:14: shop.v1.ShopService/Look: GET {other} can match the same request as "
            f"{one} of shop.v1.ShopService/Buy; change one of the paths [overlapping-routes]"
        )
    ]


@pytest.mark.parametrize(
    ("one", "other"),
    [
        ("/v1/things/{id}", "/v1/things/{id}:do"),
        ("/v1/things/{id}", "/v1/things/{id}/parts"),
        ("/v1/things", "/v1/things:batchGet"),
        ("/v1/things/{id}", "/v1/parts/{id}"),
    ],
)
def test_two_rest_rules_that_no_request_can_match_both(tmp_path: Path, one: str, other: str) -> None:
    shop = service("shop", rpc("Buy", USER, rest("get", one)), rpc("Look", USER, rest("get", other)))
    assert said(tmp_path, shop) == []


def test_the_same_path_with_another_verb_is_another_request(tmp_path: Path) -> None:
    shop = service("shop", rpc("Buy", USER, rest("get", "/v1/a")), rpc("Look", USER, rest("delete", "/v1/a")))
    assert said(tmp_path, shop) == []


def test_a_stream_over_rest_has_an_end(tmp_path: Path) -> None:
    watch = rpc("Watch", USER, rest("get", "/v1/things:watch"), response="stream Step")
    endless = "message Step { oneof message { Thing thing = 1; } }\n"
    marked = "message Step { oneof message { Thing thing = 1; zoco.mesh.v1.StreamEnd end = 2; } }\n"
    assert said(tmp_path, service("shop", watch) + endless) == [
        (
            "protos/shop/v1/service.proto:13: shop.v1.ShopService/Watch: it streams over REST, but shop.v1.Step "
            "has no oneof with an `end`; add zoco.mesh.v1.StreamEnd end to the oneof of its messages [unmarked-stream]"
        )
    ]
    assert said(tmp_path, service("shop", watch) + marked) == []


def test_rest_sends_no_streams_and_a_stream_has_no_owner(tmp_path: Path) -> None:
    owned = USER.replace("USER", 'USER owner_field: "id"')
    shop = service("shop", rpc("Buy", owned, rest("post", "/v1/a", "*"), request="stream DoRequest"))
    assert [each.rule for each in findings(tmp_path, shop)] == ["owner-unchecked", "streamed-request"]


@pytest.mark.parametrize(
    ("path", "body"), [("/v1/things/{thing.id}", "thing"), ("/v1/things/{thing.id}", "*"), ("/v1/owners/{id}", "")]
)
def test_a_path_that_binds_what_the_body_says_is_contradicted_by_nothing(tmp_path: Path, path: str, body: str) -> None:
    request = (
        "message OneRequest { Thing thing = 1; string id = 2; }\n"
        if not body
        else "message OneRequest { Thing thing = 1; }\n"
    )
    shop = service("shop", rpc("Buy", USER, rest("post", path, body), request="OneRequest"))
    assert said(tmp_path, shop + request) == []


def test_an_event_says_why_it_carries_what_is_sensitive(tmp_path: Path) -> None:
    event = "message Bought { %s Buyer buyer = 1; "
    event += "message Buyer { string name = 1 [(zoco.mesh.v1.sensitive) = true]; } }\n"
    why = 'option (zoco.mesh.v1.event).sensitive_because = "mail";'
    header = HEADER.format(package="shop.v1")
    assert said(tmp_path, header + event % "", name="shop_events") == [
        (
            "protos/shop/v1/shop_events.proto:7: shop.v1.Bought: buyer.name is sensitive, and the broker keeps "
            "events for days; drop it, or say who needs it: option (zoco.mesh.v1.event).sensitive_because "
            "[sensitive-event]"
        )
    ]
    assert said(tmp_path, header + event % why, name="shop_events") == []


def test_what_is_sensitive_is_not_stored_for_whatever_reason(tmp_path: Path) -> None:
    stored = HEADER.format(package="shop.storage.v1") + (
        'message Bought { option (zoco.mesh.v1.event).sensitive_because = "mail";'
        " string name = 1 [(zoco.mesh.v1.sensitive) = true]; }\n"
    )
    assert said(tmp_path, stored) == [
        (
            "protos/shop/storage/v1/service.proto:7: shop.storage.v1.Bought: it is stored, and name is sensitive; "
            "keep that in a row that can be erased, not in history [sensitive-event]"
        )
    ]


@pytest.mark.parametrize("name", ["shop.v1.Sold", "shop.v1.*", "shop.v1.BuyRequest"])
def test_a_subscription_names_an_event(tmp_path: Path, name: str) -> None:
    shop = service("shop", rpc("Buy", USER), more=f'consumes: "{name}"')
    assert said(tmp_path, shop) == [
        (
            f'protos/shop/v1/service.proto:11: shop.v1.ShopService: consumes names "{name}", which is no '
            "event; name a message of an _events.proto, as package.v1.Event [unknown-event]"
        )
    ]
