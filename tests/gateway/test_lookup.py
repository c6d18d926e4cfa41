"""Routes found by the beginning of the path are those that asking all of them in order would find."""

import re
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.lookup import by_beginning
from gateway.templates import parse_template
from gateway.xds import Message

SEGMENTS = st.sampled_from(["v1", "v1beta", "orders", "orders:find", "order", "o.v1.S", "x", ""])
ENDS = st.sampled_from(["", "/", ":find", "/mine", "?a=/v1/orders"])
PATHS = st.builds(lambda segments, end: "/" + "/".join(segments) + end, st.lists(SEGMENTS, max_size=4), ENDS)
TEMPLATES = st.builds(
    lambda begin, variable, end: f"/{begin}/{variable}{end}",
    st.lists(st.sampled_from(["v1", "v1beta", "orders", "o.v1.S"]), min_size=1, max_size=2).map("/".join),
    st.sampled_from(["{id}", "{name=orders/*}", "{rest=**}"]),
    st.sampled_from(["", ":find", "/mine"]),
)
MATCHES = st.one_of(
    PATHS.filter(lambda path: "?" not in path).map(lambda path: {"path": path}),
    PATHS.filter(lambda path: "?" not in path).map(lambda path: {"prefix": path}),
    TEMPLATES.map(lambda template: {"safe_regex": {"regex": parse_template(template).regex}}),
)


def takes(route: Message, target: str) -> bool:
    """What Envoy says: a query is none of the path."""
    path = target.partition("?")[0]
    match = route["match"]
    if "safe_regex" in match:
        return re.fullmatch(match["safe_regex"]["regex"], path) is not None
    return bool(path == match["path"] if "path" in match else path.startswith(match["prefix"]))


def found(matcher: Message, target: str) -> list[Any]:
    """What is asked, in order, of the routes behind the longest beginning."""
    lists = matcher["matcher_tree"]["prefix_match_map"]["map"]
    longest = max(filter(target.startswith, lists), key=len)
    routes: list[Any] = lists[longest]["action"]["typed_config"]["routes"]
    return routes


@given(st.lists(MATCHES, max_size=12), PATHS)
@example([{"prefix": "/v1"}, {"path": "/v1/orders/x"}], "/v1/orders/x")
@example([{"path": "/v1/orders"}, {"path": "/v1/orders:find"}, {"prefix": "/"}], "/v1/orders:finding")
@example([{"safe_regex": {"regex": "/v1/[^:]+"}}, {"path": "/v1/orders"}], "/v1/orders")
def test_the_first_that_matches_is_the_same_as_of_all(matches: list[Message], target: str) -> None:
    routes = [{"name": str(number), "match": match} for number, match in enumerate(matches)]
    few = found(by_beginning(routes), target)

    assert [each for each in few if takes(each, target)] == [each for each in routes if takes(each, target)]


def test_of_another_collection_or_service_no_route_is_asked() -> None:
    orders, users = {"match": {"path": "/v1/orders"}}, {"match": {"safe_regex": {"regex": "/v1/users/[^/:]+"}}}
    order, user = {"match": {"path": "/o.v1.Orders/Get"}}, {"match": {"path": "/u.v1.Users/Get"}}
    rest = {"match": {"prefix": "/"}}
    matcher = by_beginning([orders, users, order, user, rest])

    assert found(matcher, "/v1/orders") == [orders, rest]
    assert found(matcher, "/v1/users/u1") == [users, rest]
    assert found(matcher, "/o.v1.Orders/Get") == [order, rest]
    assert found(matcher, "/elsewhere") == [rest]


def test_a_route_that_says_nothing_of_the_path_is_refused() -> None:
    with pytest.raises(ValueError, match="nothing of the path"):
        by_beginning([{"match": {"connect_matcher": {}}}])
