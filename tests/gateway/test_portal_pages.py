"""The portal's pages, through the edge: what a browser gets, and that everything it needs comes from here."""

import re

import pytest

from gateway.portal.assets import ASSETS, OPENAPI, PAGES
from tests.gateway.edges import Edge

pytestmark = pytest.mark.asyncio(loop_scope="session")

HTML = tuple(path for path, asset in ASSETS.items() if asset.media_type.startswith("text/html"))
ELSEWHERE = re.compile(r"""(?:src|href|url\()\s*=?\s*["'(]?\s*(?:https?:)?//""")


@pytest.mark.parametrize("path", PAGES)
async def test_each_is_there_for_anybody(edge: Edge, path: str) -> None:
    answer = await edge.rest("GET", path)
    assert answer.status_code == 200
    expected = "application/json" if path == OPENAPI else ASSETS[path].media_type
    assert answer.headers["content-type"] == expected
    if len(answer.content) > 1024:
        assert answer.headers["content-encoding"] == "gzip"


@pytest.mark.parametrize("path", PAGES)
async def test_what_a_browser_has_already_is_not_sent_again(edge: Edge, path: str) -> None:
    first = await edge.rest("GET", path)
    again = await edge.rest("GET", path, headers={"if-none-match": first.headers["etag"]})
    other = await edge.rest("GET", path, headers={"if-none-match": 'W/"another"'})
    assert (again.status_code, again.content) == (304, b"")
    assert other.content == first.content


@pytest.mark.parametrize("path", HTML)
async def test_a_page_loads_nothing_from_elsewhere_and_may_not(edge: Edge, path: str) -> None:
    answer = await edge.rest("GET", path)
    assert not ELSEWHERE.findall(answer.text)
    used = set(re.findall(r'(?:src|href)="(/portal/[^"]+)"', answer.text))
    assert used
    assert used <= ASSETS.keys()
    policy = dict(rule.strip().split(" ", 1) for rule in answer.headers["content-security-policy"].split(";"))
    assert policy["default-src"] == "'none'"
    assert policy["script-src"] == policy["connect-src"] == "'self'"


@pytest.mark.parametrize("path", PAGES)
async def test_nothing_but_get_is_taken(edge: Edge, path: str) -> None:
    answer = await edge.rest("POST", path)
    assert (answer.status_code, answer.headers["allow"]) == (405, "GET")


async def test_other_answers_keep_the_policy_that_allows_nothing(edge: Edge) -> None:
    answer = await edge.rest("GET", "/healthz")
    assert answer.headers["content-security-policy"].startswith("default-src 'none'; frame-ancestors")
