"""The audit on a schedule: its figures as Prometheus reads them, its breaches in the log."""

import json
from collections.abc import Mapping
from typing import Any

import httpx
import pytest
import structlog
from prometheus_client import CollectorRegistry

from cli.audit.comparison import Audit, as_json, compare, conclude
from cli.audit.metrics import AuditMetrics
from cli.audit.schedule import CannotLook, Schedule
from cli.audit.target import consumers_in
from mesh.audit import Book, Facts, Finding, Invariant
from mesh.bus.contract import load_events
from tests.audit.conftest import Audited, until


def found(*wrong: str) -> Mapping[str, Any]:
    findings = [Finding.of(Invariant.MONEY_AGREES, 7, list(wrong))]
    return json.loads(json.dumps(as_json(conclude(findings), most=10)))  # type: ignore[no-any-return]  # as it is printed


class Looking:
    """Answers with one audit after the other."""

    def __init__(self, *answers: Mapping[str, Any] | None) -> None:
        self._answers = list(answers)

    async def __call__(self) -> Mapping[str, Any]:
        answer = self._answers.pop(0)
        if answer is None:
            raise CannotLook("the database is away")
        return answer


async def test_a_breach_is_a_metric_and_an_error_with_ids_until_it_is_gone() -> None:
    registry = CollectorRegistry()
    looking = Looking(found("order-1: twice"), found())
    schedule = Schedule(look=looking, metrics=AuditMetrics(registry), every=60)
    with structlog.testing.capture_logs() as lines:
        await schedule.once()
    [error] = [line for line in lines if line["log_level"] == "error"]
    assert (error["invariant"], error["breaches"], error["examples"]) == ("I3", 1, ["order-1: twice"])
    assert registry.get_sample_value("zoco_audit_breaches", {"invariant": "I3"}) == 1
    assert registry.get_sample_value("zoco_audit_checked", {"invariant": "I3"}) == 7

    await schedule.once()
    assert registry.get_sample_value("zoco_audit_breaches", {"invariant": "I3"}) == 0


async def test_an_audit_that_cannot_look_is_counted_and_leaves_the_last_figures() -> None:
    registry = CollectorRegistry()
    schedule = Schedule(look=Looking(found("a: b"), None), metrics=AuditMetrics(registry), every=60)
    await schedule.once()
    await schedule.once()
    assert registry.get_sample_value("zoco_audit_failures_total") == 1
    assert registry.get_sample_value("zoco_audit_breaches", {"invariant": "I3"}) == 1


def test_the_running_shop_shows_its_figures(audited: Audited) -> None:
    port = json.loads((audited.shop.home / "run.json").read_text())["ports"]["audit"]

    def page() -> str:
        return httpx.get(f"http://127.0.0.1:{port}/metrics").text

    until(lambda: 'zoco_audit_checked{invariant="I8"}' in page(), limit=120)
    for name in ("zoco_audit_breaches", "zoco_audit_last_run_timestamp_seconds", "zoco_audit_duration_seconds"):
        assert name in page()


def book(keeper: str, accounts: Mapping[str, tuple[int, ...]], *, complete: bool = True, moving: str = "") -> Book:
    return Book(
        invariant=Invariant.MONEY_AGREES,
        about="money",
        keeper=keeper,
        accounts=accounts,
        nothing=(0,),
        complete=complete,
        under_way={moving} - {""},
    )


def compared(*books: Book) -> Audit:
    return conclude(compare({"a": Facts(books=books)}, load_events()))


@pytest.mark.parametrize(
    ("books", "breaches"),
    [
        ([book("a", {"x": (1,)}), book("b", {"x": (1,)})], 0),
        ([book("a", {"x": (1,)}), book("b", {"x": (2,)})], 1),
        ([book("a", {"x": (1,)}), book("b", {})], 1),
        ([book("a", {"x": (0,)}), book("b", {})], 0),
        ([book("a", {"x": (1,)}), book("b", {}, complete=False)], 0),
        ([book("a", {}), book("b", {"x": (1,)}, complete=False)], 1),
        ([book("a", {"x": (1,)}), book("b", {"x": (2,)}, moving="x")], 0),
        ([book("a", {"x 1": (1,), "x 2": (1,)}), book("b", {"x 1": (2,)}, moving="x")], 0),
        ([book("a", {"x": (1,)})], 0),
    ],
)
def test_books_agree_where_all_who_know_say_the_same(books: list[Book], breaches: int) -> None:
    assert sum(verdict.breaches for verdict in compared(*books).verdicts) == breaches


def test_what_waits_at_the_broker_is_what_is_pending_and_what_is_not_acknowledged() -> None:
    consumer = {"stream_name": "zoco-order", "name": "analytics", "num_pending": 3, "num_ack_pending": 2}
    answer = {"account_details": [{"stream_detail": [{"consumer_detail": [consumer]}, {"consumer_detail": None}]}]}
    assert consumers_in(answer) == [("zoco-order analytics", 5)]
    assert consumers_in({}) == []
