"""The edge is as the specifications say, in every case of the table."""

from collections import Counter

from tests.bench.orders import open_shop
from tests.conformance.report import Report
from tests.conformance.runner import run
from tests.conformance.table import CASES
from tests.conformance.world import make_world


def test_the_edge_is_as_the_specifications_say(takes_minutes: None) -> None:
    with open_shop() as shop:
        report = Report(list(run(make_world(shop), CASES)))
    print(*report.lines(), sep="\n")
    assert not report.failures, "\n".join(line for each in report.failures for line in report.failure(each))


def test_the_table_is_long_and_its_deviations_are_few() -> None:
    assert len(CASES) >= 150
    assert sum(each.deviation is not None for each in CASES) <= len(CASES) / 20


def test_every_case_has_a_name_of_its_own_and_its_source() -> None:
    names = Counter((each.subject, each.name) for each in CASES)
    assert [name for name, count in names.items() if count > 1] == []
    assert all(each.source.document and each.source.section for each in CASES)
