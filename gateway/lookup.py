"""How Envoy finds a route: by how the path begins it finds a few, and asks these one after the other.

Otherwise it asks all in turn, at about 0.15 us each, and twice for a request over REST (docs/decisions/037).
"""

import re
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from typing import Final, Self

from gateway.xds import Message, extension

# The collection in a REST path, the service in a gRPC path, the directory of a page.
_GROUP: Final = re.compile(r"/v\d\w*/[^/:]+|/[^/]+/?")

# As gateway.templates writes them: characters that mean themselves, and variables between them.
_PLAIN: Final = r"(?:[^\\\[\](){}.*+?|^$]|\\\W)*"
_TEMPLATE: Final = re.compile(rf"(?P<beginning>{_PLAIN})(?:\[\^/?:\]\+{_PLAIN})*")

_ROOT: Final = "/"


@dataclass(frozen=True)
class _Paths:
    """The paths that a route takes.

    Attributes:
        beginning: of all of them.
        alone: whether it is the only one.
    """

    beginning: str
    alone: bool

    @classmethod
    def of(cls, route: Message) -> Self:
        """Read them off a route.

        Raises:
            ValueError: what it matches by is not understood here.
        """
        match route["match"]:
            case {"path": str(path), **how} if path.startswith(_ROOT) and "case_sensitive" not in how:
                return cls(path, alone=True)
            case {"prefix": str(prefix), **how} if prefix.startswith(_ROOT) and "case_sensitive" not in how:
                return cls(prefix, alone=False)
            case {"safe_regex": {"regex": str(regex)}} if template := _TEMPLATE.fullmatch(regex):
                return cls(re.sub(r"\\(.)", r"\1", template["beginning"]), alone=False)
            case other:
                raise ValueError(f"How the paths begin that {other} takes is not known.")

    @property
    def group(self) -> str:
        """Under which it is looked for."""
        found = _GROUP.match(self.beginning)
        return found[0] if found else _ROOT

    def reach(self, group: str, groups: Collection[str]) -> bool:
        """Whether one of them has `group` as the longest of `groups` that it begins with.

        Either they begin with less, and may go on as the group does, or with more, and then all are in one group.
        """
        if not self.alone and group.startswith(self.beginning):
            return True
        return group == max(filter(self.beginning.startswith, groups), key=len)


def by_beginning(routes: Sequence[Message]) -> Message:
    """Give the matcher of a virtual host: it finds the route that would be found by asking all in their order.

    Args:
        routes: envoy.config.route.v3.Route, the first that matches is taken.

    Returns:
        An xds.type.matcher.v3.Matcher.

    Raises:
        ValueError: how the paths of a route begin is not known.
    """
    paths = [(route, _Paths.of(route)) for route in routes]
    groups = {_ROOT, *(each.group for _, each in paths)}
    lists = {group: [route for route, each in paths if each.reach(group, groups)] for group in sorted(groups)}
    return {
        "matcher_tree": {
            "input": extension("path", "envoy.type.matcher.v3.HttpRequestHeaderMatchInput", header_name=":path"),
            "prefix_match_map": {
                "map": {
                    group: {"action": extension("routes", "envoy.config.route.v3.RouteList", routes=found)}
                    for group, found in lists.items()
                }
            },
        }
    }
