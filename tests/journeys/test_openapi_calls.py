"""Every operation of the OpenAPI document, called with what it says is right and with what it says is wrong.

schemathesis makes the calls. Whatever comes, the answer is one the document tells of, in its shape, and never a 500.
"""

import json
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import httpx
import pytest
import schemathesis
from hypothesis import HealthCheck, given, settings
from schemathesis import GenerationMode
from schemathesis.checks import not_a_server_error
from schemathesis.specs.openapi.checks import (
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
    status_code_conformance,
)

from mesh.ids import uuid7
from tests.journeys.running import RunningShop
from tests.ports import free_port

DOCUMENT: Final = json.loads((Path(__file__).parents[2] / "generated/openapi/openapi.json").read_text(encoding="utf-8"))
SCHEMA: Final = schemathesis.openapi.from_dict(DOCUMENT)

CHECKS: Final = [
    not_a_server_error,
    status_code_conformance,
    content_type_conformance,
    response_headers_conformance,
    response_schema_conformance,
]
"""Not `negative_data_rejection`: proto3 JSON takes more than one form of a value (numbers as strings, null for what is
not there), and a document that listed them all would help nobody."""

EXAMPLES: Final = 6
"""Calls of each kind, a caller and operation."""

PATIENCE: Final = 40
"""Seconds: longer than any deadline of the contract, which thus ends a slow call first."""

Case = schemathesis.Case[Any]

PASSWORD: Final = "correct horse battery staple"

OPERATIONS: Final = [
    (verb.upper(), path)
    for path, item in DOCUMENT["paths"].items()
    for verb, operation in item.items()
    if "text/event-stream" not in operation["responses"]["200"]["content"]  # a stream has no end to wait for
]

_calls = 0


@pytest.fixture(scope="module")
def shop(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunningShop]:
    """A shop of its own, in one mode: what is called changes whatever it can reach, other tests' things included."""
    running = RunningShop(tmp_path_factory.mktemp("called"), free_port())
    running.up()
    yield running
    running.down()


@pytest.fixture(scope="module", autouse=True)
def _count() -> Any:
    yield
    print(f"schemathesis: {_calls} calls of {len(OPERATIONS)} operations")


@pytest.mark.parametrize("caller", ["nobody", "customer", "administrator"])
@pytest.mark.parametrize(("verb", "path"), OPERATIONS, ids=[" ".join(each) for each in OPERATIONS])
def test_an_operation_answers_as_the_document_says(shop: RunningShop, verb: str, path: str, caller: str) -> None:
    # Anew for each: what is called may end a session.
    headers = _logged_in(shop, caller)
    operation = DOCUMENT["paths"][path][verb.lower()]
    can_be_wrong = "parameters" in operation or "requestBody" in operation
    for mode in GenerationMode if can_be_wrong else (GenerationMode.POSITIVE,):
        _call(shop, verb, path, headers, mode)


def _call(shop: RunningShop, verb: str, path: str, headers: Mapping[str, str], mode: GenerationMode) -> None:
    @settings(
        max_examples=EXAMPLES,
        deadline=None,
        database=None,
        suppress_health_check=list(HealthCheck),
    )
    @given(case=SCHEMA[path][verb].as_strategy(generation_mode=mode))
    def call(case: Case) -> None:
        global _calls  # noqa: PLW0603 - a figure for the end of the module
        _calls += 1
        response = case.call(base_url=f"http://{shop.address}", headers=dict(headers), timeout=PATIENCE)
        case.validate_response(response, checks=CHECKS)

    call()


def _logged_in(shop: RunningShop, caller: str) -> Mapping[str, str]:
    if caller == "nobody":
        return {}
    with httpx.Client(base_url=f"http://{shop.address}/v1") as client:
        email, password = shop.admin
        if caller == "customer":
            email, password = f"{uuid7()}@example.com", PASSWORD
            account = {"email": email, "password": password, "displayName": "A Customer"}
            _post(client, "/users", account)
        tokens = _post(client, "/auth:login", {"email": email, "password": password})
        return {"Authorization": f"Bearer {tokens['accessToken']}"}


def _post(client: httpx.Client, path: str, body: Mapping[str, str]) -> Any:
    """Posts, and comes back when a limit that the calls before have used up says so."""
    while (answer := client.post(path, json=body)).status_code == httpx.codes.TOO_MANY_REQUESTS:
        time.sleep(float(answer.headers["retry-after"]))
    answer.raise_for_status()
    return answer.json()
