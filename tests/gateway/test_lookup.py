"""Routes found by the beginning of the path are those that asking all of them in order would find."""

import re
from typing import Any

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet
from hypothesis import example, given
from hypothesis import strategies as st

from gateway.contract import read_surface
from gateway.lookup import by_beginning
from gateway.routes import all_routes
from gateway.runtime import cluster_runtime
from gateway.templates import parse_template
from gateway.xds import Message
from mesh.policy import DESCRIPTORS

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


@pytest.mark.parametrize(
    "match",
    [
        {"connect_matcher": {}},
        {"path": "*"},
        {"prefix": ""},
        {"path": "/v1/orders", "case_sensitive": False},
        *({"safe_regex": {"regex": regex}} for regex in ("/v1/orders?/x", "/a/x|/b/x", r"/v1/\d+", "/v1/(a|b)", ".*")),
    ],
)
def test_a_route_whose_paths_could_begin_anyhow_is_refused(match: Message) -> None:
    with pytest.raises(ValueError, match="is not known"):
        by_beginning([{"match": match}])


def test_of_the_contract_every_path_finds_what_it_found_among_all() -> None:
    surface = read_surface(FileDescriptorSet.FromString(DESCRIPTORS.read_bytes()))
    routes = list(all_routes(cluster_runtime(surface.workloads), surface))
    matcher = by_beginning(routes)
    paths = {method.path for method in surface.methods} | {
        re.sub(r"\{[^}]*\}", "x", route.path) for method in surface.methods for route in method.routes
    }
    for path in sorted(paths):
        for target in (path, f"{path}?a=/v1/orders", f"{path}/", f"/{path}", f"{path}:x", path.upper(), path[:-1]):
            few = found(matcher, target)
            assert [each for each in few if takes(each, target)] == [each for each in routes if takes(each, target)]
            assert len(few) < len(routes) / 4
