"""In what order the edge asks its routes: the first that matches is the one that is taken."""

from datetime import timedelta

from gateway.contract import Surface
from gateway.rest import rest_routes
from gateway.xds import Message
from mesh.policy import Audience, HttpRoute, MethodPolicy
from tests.gateway.neighbours import policy


def a_read(path: str, audience: Audience) -> MethodPolicy:
    return MethodPolicy(
        service="zoco.thing.v1.ThingService",
        name=f"Get{len(path)}",
        workload="thing",
        request_type="zoco.thing.v1.GetThingRequest",
        response_type="zoco.thing.v1.Thing",
        client_streaming=False,
        server_streaming=False,
        audience=audience,
        callers=frozenset(),
        deadline=timedelta(seconds=1),
        side_effect_free=True,
        routes=(HttpRoute("GET", path, ""),),
    )


def names(routes: list[Message]) -> list[str]:
    return [route["name"] for route in routes if "name" in route]


def of(*methods: MethodPolicy) -> tuple[list[str], list[str]]:
    keys = policy().token_keys
    assert keys is not None
    first, others = rest_routes(Surface(methods, frozenset(), keys, keys.routes[0]))
    return names(first), names(others)


def test_what_anybody_may_read_is_asked_before_all_others() -> None:
    public, own = a_read("/v1/things/{id}", Audience.PUBLIC), a_read("/v1/accounts", Audience.USER)

    assert of(own, public) == (["GET /v1/things/{id}"], ["GET /v1/accounts"])


def test_a_path_that_a_public_one_would_take_too_stays_before_it() -> None:
    public, own = a_read("/v1/things/{id}", Audience.PUBLIC), a_read("/v1/things/mine", Audience.USER)

    assert of(own, public) == ([], ["GET /v1/things/mine", "GET /v1/things/{id}"])
