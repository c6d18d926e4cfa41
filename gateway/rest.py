"""The REST routes of the edge: which requests may be transcoded, and a clear no to those that come close."""

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from typing import Final

from gateway.authentication import token_wanted
from gateway.clusters import NOWHERE
from gateway.contract import Surface
from gateway.filters import TRANSCODER
from gateway.headers import MUTATION, rest_answer
from gateway.limits import counted
from gateway.refusals import refusal, wrong_method
from gateway.templates import PathTemplate, parse_template
from gateway.violations import VIOLATIONS
from gateway.xds import Message, awake, header_is
from mesh.policy import HttpRoute, MethodPolicy

_JSON: Final = r"(?i)application/json\s*(;.*)?"


@dataclass(frozen=True)
class _Rule:
    """One google.api.http rule."""

    template: PathTemplate
    route: HttpRoute
    method: MethodPolicy


def rest_routes(surface: Surface) -> Iterator[Message]:
    """Give the routes of all google.api.http rules: what they take, and per path what they do not."""
    rules = [_Rule(parse_template(route.path), route, method) for method in surface.methods for route in method.routes]
    # Fewer variables first: `/v1/products:batchGet` before `/v1/products/{id}`.
    rules.sort(key=lambda rule: (len(rule.template.variables), rule.template.regex, rule.route.verb))
    for _, same_path in groupby(rules, key=lambda rule: rule.template.regex):
        yield from _path_routes(surface, list(same_path))


def _path_routes(surface: Surface, same_path: Sequence[_Rule]) -> Iterator[Message]:
    for rule in same_path:
        template, route, method = rule.template, rule.route, rule.method
        if route.body == "*":
            yield _query_beside_everything(template, route)
        elif names := [*template.variables, *filter(None, [route.body])]:
            yield _said_elsewhere(template, route, names)
        yield _unsupported_type(template, route, takes_json=surface.takes_json(method, route))
        yield _transcoded(template, route, method)
    yield wrong_method(_path(same_path[0].template), [rule.route.verb for rule in same_path])


def _transcoded(template: PathTemplate, route: HttpRoute, method: MethodPolicy) -> Message:
    return {
        "name": f"{route.verb} {route.path}",
        "match": {**_path(template), "headers": [header_is(":method", route.verb)]},
        # Once transcoded, a request is on its gRPC route. (It cannot be a direct response: CORS ignores those.)
        "route": {"cluster": NOWHERE},
        **counted(method.rate_limits),
        "typed_per_filter_config": {
            **awake(TRANSCODER),
            **awake(VIOLATIONS),
            MUTATION: rest_answer(),
            **token_wanted(method),
        },
    }


def _unsupported_type(template: PathTemplate, route: HttpRoute, *, takes_json: bool) -> Message:
    """Give the refusal of a body that is not JSON (RFC 9110, 15.5.16); one without a type is taken for JSON.

    Where anything or nothing is taken it still cannot be gRPC, which the transcoder would let pass as it came.
    """
    if takes_json:
        other = {"name": "content-type", "string_match": {"safe_regex": {"regex": _JSON}}, "invert_match": True}
    else:
        other = {"name": "content-type", "string_match": {"prefix": "application/grpc", "ignore_case": True}}
    return refusal({**_path(template), "headers": [header_is(":method", route.verb), other]}, 415)


def _said_elsewhere(template: PathTemplate, route: HttpRoute, names: Sequence[str]) -> Message:
    """Give the refusal of a query that names a variable of the path, or something of what the body is.

    The transcoder would let the query win.
    """
    fields = "|".join(_spellings(name) for name in names)
    regex = rf"[^?]*\?(.*&)?({fields})((\.|%2[eE])[^=&]*)?(=.*|&.*|)"
    text = f"the query says what path or body do: {', '.join(names)}"
    refused = refusal({**_path(template), "headers": [header_is(":method", route.verb), _target(regex)]}, 400, text)
    refused["typed_per_filter_config"] |= awake(VIOLATIONS)
    return refused


def _query_beside_everything(template: PathTemplate, route: HttpRoute) -> Message:
    """Give the refusal of any query where the body is the whole request: it leaves nothing to say."""
    match = {**_path(template), "headers": [header_is(":method", route.verb), _target(r"[^?]*\?.+")]}
    return refusal(match, 400, "the body is the whole request: there are no query parameters")


def _target(regex: str) -> Message:
    return {"name": ":path", "string_match": {"safe_regex": {"regex": regex}}}


def _spellings(field_path: str) -> str:
    """Give the expression for every way to write a field in a query: snake or camel case, percent-encoded or not."""
    camel = re.sub(r"_(\w)", lambda match: match[1].upper(), field_path)
    return "|".join("".join(map(_character, name)) for name in sorted({field_path, camel}))


def _character(character: str) -> str:
    return f"(?:{re.escape(character)}|(?i:%{ord(character):02x}))"


def _path(template: PathTemplate) -> Message:
    if template.literal:
        return {"path": template.text}
    return {"safe_regex": {"regex": template.regex}}
