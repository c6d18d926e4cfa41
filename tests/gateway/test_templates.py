"""Path templates of google.api.http as expressions for routes."""

import re

import pytest

from gateway.templates import parse_template


@pytest.mark.parametrize(
    ("template", "variables", "matching", "other"),
    [
        ("/v1/orders", (), ["/v1/orders"], ["/v1/orders/", "/v1/ordersx", "/v1/orders:x"]),
        ("/v1/orders:preview", (), ["/v1/orders:preview"], ["/v1/orders", "/v1/orders:previews"]),
        (
            "/v1/orders/{id}",
            ("id",),
            ["/v1/orders/a-1", "/v1/orders/a%3Ab"],
            ["/v1/orders/", "/v1/orders/a/b", "/v1/orders/a:b"],
        ),
        ("/v1/orders/{id}:cancel", ("id",), ["/v1/orders/a:cancel"], ["/v1/orders/a", "/v1/orders/:cancel"]),
        ("/v1/users/{user.id}", ("user.id",), ["/v1/users/me"], ["/v1/users"]),
        (
            "/v1/{name=shelves/*/books/*}",
            ("name",),
            ["/v1/shelves/1/books/2"],
            ["/v1/shelves/1", "/v1/shelves/1/books/2/3"],
        ),
        ("/v1/{name=files/**}", ("name",), ["/v1/files/a", "/v1/files/a/b/c"], ["/v1/files/", "/v1/files/a:b"]),
        ("/v1/*/x/**", (), ["/v1/a/x/b/c"], ["/v1/x/b", "/v1/a/b/x/c"]),
        (
            "/.well-known/jwks.json",
            (),
            ["/.well-known/jwks.json"],
            ["/xwell-known/jwks.json", "/.well-known/jwksxjson"],
        ),
    ],
)
def test_a_template_matches_its_paths_and_no_others(
    template: str, variables: tuple[str, ...], matching: list[str], other: list[str]
) -> None:
    parsed = parse_template(template)
    assert parsed.variables == variables
    assert all(re.fullmatch(parsed.regex, path) for path in matching)
    assert not any(re.fullmatch(parsed.regex, path) for path in other)


def test_only_a_template_of_plain_text_is_literal() -> None:
    assert parse_template("/v1/orders:preview").literal
    assert not parse_template("/v1/orders/{id}").literal
    assert not parse_template("/v1/*").literal


@pytest.mark.parametrize("template", ["v1/orders", "/v1/{id", "/v1/id}", "/v1/{}", "/v1/{a{b}}"])
def test_what_is_no_template_is_refused(template: str) -> None:
    with pytest.raises(ValueError, match="path"):
        parse_template(template)
