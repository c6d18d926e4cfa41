"""Path templates of google.api.http as regular expressions (RE2), for routes.

Grammar: https://github.com/googleapis/googleapis/blob/master/google/api/http.proto

    Template = "/" Segments [ ":" Verb ] ;
    Segment  = "*" | "**" | LITERAL | "{" FieldPath [ "=" Segments ] "}" ;
"""

import re
from dataclasses import dataclass
from typing import Final

_TOKEN: Final = re.compile(r"\{(?P<field>[^{}=]+)(?:=(?P<segments>[^{}]+))?\}|(?P<wildcard>\*\*?)|(?P<literal>[^{}*]+)")

# A colon begins a verb, so that `/v1/orders/X:unknown` is an unknown path, not an order with an odd name. A colon that
# belongs to a value travels as %3A.
_SEGMENT: Final = "[^/:]+"
_SEGMENTS: Final = "[^:]+"


@dataclass(frozen=True)
class PathTemplate:
    """A template, taken apart.

    Attributes:
        text: as the contract has it.
        regex: what paths of it match, in RE2's syntax, anchored by whoever uses it.
        variables: paths of the request fields it binds, such as `user.id`.
    """

    text: str
    regex: str
    variables: tuple[str, ...]

    @property
    def literal(self) -> bool:
        """Whether exactly one path matches."""
        return not self.variables and self.regex == re.escape(self.text)


def parse_template(text: str) -> PathTemplate:
    """Take a template apart.

    Args:
        text: such as `/v1/users/{user.id}:disable`.

    Returns:
        The template with its regular expression.

    Raises:
        ValueError: it does not begin with a slash, or has an unbalanced brace.
    """
    if not text.startswith("/"):
        raise ValueError(f"The path {text!r} does not begin with a slash.")
    regex, variables, position = "", [], 0
    while position < len(text):
        token = _TOKEN.match(text, position)
        if token is None:
            raise ValueError(f"The path {text!r} is no template: look at character {position + 1}.")
        if field := token["field"]:
            variables.append(field)
            regex += _pattern(token["segments"] or "*")
        else:
            regex += _pattern(token[0])
        position = token.end()
    return PathTemplate(text, regex, tuple(variables))


def _pattern(segments: str) -> str:
    return "".join(
        _SEGMENTS if part == "**" else _SEGMENT if part == "*" else re.escape(part)
        for part in re.split(r"(\*\*?)", segments)
    )
