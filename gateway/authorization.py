"""Who may call what, as far as the edge can know it: one RBAC rule table on `/package.Service/Method`."""

from collections.abc import Iterable
from typing import Final

from gateway.authentication import CLAIMS, JWT
from gateway.contract import Surface
from gateway.xds import Message, extension, typed
from mesh.decision import ADMIN
from mesh.policy import Audience

RBAC: Final = "envoy.filters.http.rbac"


def authorization(surface: Surface, also: Iterable[str]) -> Message:
    """Give the RBAC filter: what no policy of it names is denied.

    Args:
        surface: the exposed methods.
        also: other paths that anybody may call.
    """
    paths = {
        audience: [method.path for method in surface.methods if method.audience is audience] for audience in Audience
    }
    principals: dict[Audience, Message] = {
        Audience.PUBLIC: {"any": True},
        Audience.USER: _claim("sub", {"present_match": True}),
        Audience.ADMIN: _claim("role", {"string_match": {"exact": ADMIN}}),
    }
    policies = {
        audience.name.lower(): {"permissions": _paths(paths[audience]), "principals": [principal]}
        for audience, principal in principals.items()
        if paths[audience]
    }
    portal = {"portal": {"permissions": _paths(also), "principals": [{"any": True}]}}
    return extension(
        RBAC,
        "envoy.extensions.filters.http.rbac.v3.RBAC",
        rules={"action": "ALLOW", "policies": {**policies, **portal}},
    )


def unguarded() -> Message:
    """Give what a route says that leads nowhere but to a refusal, which is for everybody."""
    return {RBAC: typed("envoy.config.route.v3.FilterConfig", disabled=True)}


def _paths(paths: Iterable[str]) -> list[Message]:
    return [{"url_path": {"path": {"exact": path}}} for path in paths]


def _claim(name: str, value: Message) -> Message:
    """Give the principal whose verified token says so; one that was not verified says nothing."""
    path = [{"key": CLAIMS}, {"key": name}]
    return {"sourced_metadata": {"metadata_matcher": {"filter": JWT, "path": path, "value": value}}}
