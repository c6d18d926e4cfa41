"""The tuning file: what stands in it counts, and what does not belong there is refused with its path."""

from datetime import timedelta
from pathlib import Path

import pytest

from mesh.policy import LimitKey, RateLimit, load_policy
from mesh.tuning import TUNING, Rate, TuningError, load_tuning

CREATE_ORDER = RateLimit(LimitKey.SUBJECT, 5, timedelta(seconds=1), "create_order")


def changed(tmp_path: Path, old: str, new: str) -> Path:
    """The committed file with one thing changed."""
    text = TUNING.read_text()
    assert old in text
    path = tmp_path / "own.yaml"
    path.write_text(text.replace(old, new, 1))
    return path


def refused(tmp_path: Path, old: str, new: str) -> str:
    """What is said of the committed file with one thing changed, without the name of the file."""
    path = changed(tmp_path, old, new)
    with pytest.raises(TuningError) as error:
        load_tuning(path)
    lines = str(error.value).splitlines()
    assert all(line.startswith(f"{path}: ") for line in lines), "an error names another file than was read"
    return "\n".join(line.removeprefix(f"{path}: ") for line in lines)


def test_production_has_the_contracts_numbers_and_dev_the_files() -> None:
    tuning = load_tuning()
    assert tuning.rate(CREATE_ORDER, "production") == Rate(5, timedelta(seconds=1))
    assert tuning.rate(CREATE_ORDER, "dev") == Rate(200, timedelta(seconds=1))


def test_both_profiles_are_what_the_surface_promises() -> None:
    tuning, found = load_tuning(), {}
    for method in load_policy().methods.values():
        for limit in method.rate_limits:
            per_second = {name: tuning.rate(limit, name) for name in ("dev", "production")}
            assert {rate.per for rate in per_second.values()} == {timedelta(seconds=1)}
            found[limit.tier] = (per_second["dev"].requests, per_second["production"].requests)
    assert found == {
        "public_read": (5000, 200),
        "create_order": (200, 5),
        "credentials": (20, 2),
        "webhook": (500, 50),
        "other": (500, 50),
    }


def test_durations_have_units() -> None:
    retry = load_tuning().retry
    assert (retry.initial_backoff, retry.max_backoff) == (timedelta(milliseconds=50), timedelta(seconds=1))


def test_a_tier_that_the_profile_lacks_is_named() -> None:
    unknown = RateLimit(LimitKey.IP, 1, timedelta(seconds=1), "gold")
    with pytest.raises(TuningError, match=r"^mesh/tuning\.yaml: profiles\.dev\.tiers\.gold: is missing"):
        load_tuning().rate(unknown, "dev")


def test_a_tier_that_a_file_of_ones_own_lacks_is_named_with_that_file(tmp_path: Path) -> None:
    path = changed(tmp_path, "      webhook:", "      gold:")
    webhook = RateLimit(LimitKey.IP, 1, timedelta(seconds=1), "webhook")
    with pytest.raises(TuningError) as error:
        load_tuning(path).rate(webhook, "dev")
    assert str(error.value).startswith(f"{path}: profiles.dev.tiers.webhook: is missing")


@pytest.mark.parametrize(
    ("old", "new", "finding"),
    [
        (
            "public_read: {requests: 5000",
            "public_read: {requestz: 5000, requests: 1",
            "profiles.dev.tiers.public_read.requestz: no such key; there are requests, per",
        ),
        ("  max_keys:", "  max_key: 1\n  max_keys:", "rate_limits.max_key: no such key; there are max_keys"),
        (
            "cache:",
            "cash: 1\ncache:",
            "cash: no such key; there are profiles, retry, breakers, ejection, shedding, cache, rate_limits",
        ),
        ("  dev:", "  production: {tiers: {}}\n  dev:", "profiles.production: no such key; there are dev"),
        ("  max_keys: 100000\n", "  {}\n", "rate_limits.max_keys: is missing"),
        (
            "max_backoff: 1s",
            "max_backoff: 1",
            "retry.max_backoff: 1 is no duration; write a number and a unit (ms, s, m, h), such as 250ms or 2s",
        ),
        (
            "max_loop_lag: 250ms",
            "max_loop_lag: 250 msec",
            "shedding.max_loop_lag: '250 msec' is no duration; write a number and a unit (ms, s, m, h), such as",
        ),
        (
            "interval: 1s",
            "interval: 0s",
            "ejection.interval: '0s' is no time at all; a duration must be longer than 0s",
        ),
        (
            "max_percent: 50",
            "max_percent: 150",
            "ejection.max_percent: 150 is wrong: input should be less than or equal to 100",
        ),
        (
            "max_requests: 4096",
            "max_requests: 0",
            "breakers.max_requests: 0 is wrong: input should be greater than 0",
        ),
        ("max_bytes: 67108864", "max_bytes: many", "cache.max_bytes: 'many' is wrong: input should be a valid integer"),
        (
            "public_read: {requests: 5000",
            "public_read: {requests: true",
            "profiles.dev.tiers.public_read.requests: True is wrong: input should be a valid integer",
        ),
        (
            "max_requests: 4096",
            'max_requests: "4096"',
            "breakers.max_requests: '4096' is wrong: input should be a valid integer",
        ),
        ("multiplier: 2", 'multiplier: "2"', "retry.multiplier: '2' is wrong: input should be a valid number"),
        (
            "cache:\n  max_entries: 10000\n  max_bytes: 67108864",
            "cache: 5",
            "cache: must hold keys, not 5",
        ),
    ],
    ids=lambda value: value if ": " in value and "\n" not in value else "",
)
def test_what_does_not_belong_there_is_refused_with_its_path(tmp_path: Path, old: str, new: str, finding: str) -> None:
    assert refused(tmp_path, old, new).startswith(finding)


def test_all_findings_come_at_once(tmp_path: Path) -> None:
    text = refused(tmp_path, "max_backoff: 1s\n  multiplier: 2", "max_backoff: soon\n  multiplier: -2")
    assert [line.split(": ")[0] for line in text.splitlines()] == ["retry.max_backoff", "retry.multiplier"]


def test_what_is_no_yaml_is_said_with_its_line(tmp_path: Path) -> None:
    assert refused(tmp_path, "cache:", "cache: [").startswith("is no YAML: ")
