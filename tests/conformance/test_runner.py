"""The table tells when something is not as it says: a case that passes whatever comes would be worth nothing."""

from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread
from typing import Any

import pytest

from tests.conformance.case import Case, Step, case, deviating, get, steps
from tests.conformance.expectations import ok, refused, stream
from tests.conformance.patterns import Absent, Each, Exactly, Including, Number, Text, differences
from tests.conformance.report import Report
from tests.conformance.runner import Outcome, Verdict, run
from tests.conformance.sources import contract
from tests.conformance.world import World

SOURCE = contract("this test")


class _Answering(BaseHTTPRequestHandler):
    """Answers every GET alike."""

    def do_GET(self) -> None:
        self.send_response(200)
        self.send_header("content-type", "application/json")
        self.end_headers()
        self.wfile.write(b'{"id": "x", "count": 1}')

    def log_message(self, *_: Any) -> None:
        pass


@pytest.fixture
def world() -> Iterator[World]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), _Answering)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    yield World(("127.0.0.1", server.server_port), {"token_buyer": "a.secret.token", "id": "x"})
    server.shutdown()
    server.server_close()
    thread.join()


def _run(world: World, each: Case) -> Outcome:
    (outcome,) = run(world, [each])
    return outcome


def test_a_case_passes_when_all_is_as_it_says(world: World) -> None:
    assert _run(world, case("x", SOURCE, get("/"), ok({"id": "$id"}))).verdict is Verdict.PASSED


@pytest.mark.parametrize(
    "expected",
    [ok({"count": "1"}), ok({"id": "y"}), ok(Exactly({"id": "x"})), ok(x_odd="1"), refused(404), stream({"id": "x"})],
)
def test_a_case_fails_when_something_is_not(world: World, expected: Any) -> None:
    assert _run(world, case("x", SOURCE, get("/"), expected)).verdict is Verdict.FAILED


def test_a_failure_shows_what_was_sent_and_what_came_but_no_token(world: World) -> None:
    outcome = _run(world, case("x", SOURCE, get("/a/$id", "buyer"), ok({"count": 2})))
    told = "\n".join(Report([outcome]).lines())
    assert "GET /a/x HTTP/1.1" in told
    assert "answer.count is 1, and not 2" in told
    assert '{"id": "x", "count": 1}' in told
    assert "a.secret.token" not in told
    assert told.endswith("0 passed, 1 failed, 0 known deviations")


def test_a_step_that_fails_is_the_end_of_its_case(world: World) -> None:
    outcome = _run(world, steps("x", SOURCE, Step(get("/"), ok({"count": 2})), Step(get("/"), ok())))
    assert "step 1 of 2" in outcome.request


def test_what_a_step_keeps_the_next_one_finds(world: World) -> None:
    kept = Step(get("/"), ok(), {"found": "id", "all": "*"})
    assert _run(world, steps("x", SOURCE, kept, Step(get("/$found"), ok({"id": "$found"})))).verdict is Verdict.PASSED


def test_a_known_deviation_is_counted_apart_until_it_conforms_or_does_something_else(world: World) -> None:
    wanted = case("x", SOURCE, get("/"), ok({"count": 2}))
    known = deviating(wanted, instead=ok({"count": 1}), harmless="It is one.")
    other = deviating(wanted, instead=ok({"count": 3}), harmless="It is three.")
    conforms = deviating(case("x", SOURCE, get("/"), ok({"count": 1})), instead=ok(), harmless="It is one.")
    verdicts = [_run(world, each).verdict for each in (known, other, conforms)]
    assert verdicts == [Verdict.DEVIATES, Verdict.FAILED, Verdict.FAILED]


@pytest.mark.parametrize(
    ("pattern", "value"),
    [
        (1, True),
        (1, 1.0),
        ("1", 1),
        ([1, 2], [1]),
        ({"a": 1}, {"b": 1}),
        ({"a": Absent()}, {"a": None}),
        (Text("a+"), "aab"),
        (Number(0, 1), True),
        (Each(1, 2), [1]),
        (Including((3,)), [1, 2]),
        (Exactly({}), {"a": 1}),
    ],
)
def test_a_pattern_tells_what_does_not_fit(pattern: Any, value: Any) -> None:
    assert list(differences(pattern, value))
