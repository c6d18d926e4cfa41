"""What counts as wider, and that a wider policy is refused unless a commit names it."""

from dataclasses import replace
from datetime import timedelta
from pathlib import Path

import pytest

from mesh.compiler import CompileError
from mesh.compiler.widening import TRAILER, Kind, check, compare
from mesh.policy import Audience, LimitKey, MethodPolicy, Policy, RateLimit, load_policy
from tests.mesh.histories import Commit, commit_contracts, git
from tests.mesh.offending import PUBLIC, USER, rpc, said, service

PATH = "/zoco.user.v1.UserService/GetUser"
METHOD = load_policy().methods[PATH]
LIMIT = METHOD.rate_limits[0]


def policy(method: MethodPolicy) -> Policy:
    return Policy({PATH: method}, {})


def changes(**fields: object) -> list[tuple[Kind, str]]:
    """What is said of a change of one method."""
    return [(each.kind, each.what) for each in compare(policy(METHOD), policy(replace(METHOD, **fields)))]  # type: ignore[arg-type]  # fields of the dataclass, by name


@pytest.mark.parametrize(
    ("fields", "kind", "what"),
    [
        ({"audience": Audience.PUBLIC}, Kind.WIDER, "access.edge: USER -> PUBLIC"),
        ({"audience": Audience.ADMIN}, Kind.NARROWER, "access.edge: USER -> ADMIN"),
        ({"audience": Audience.NONE}, Kind.NARROWER, "access.edge: USER -> NONE"),
        ({"callers": frozenset({"order", "payment"})}, Kind.WIDER, "access.callers: + order, payment"),
        ({"owner_field": ""}, Kind.WIDER, "access.owner_field: id -> none"),
        ({"owner_field": "user.id"}, Kind.WIDER, "access.owner_field: id -> user.id"),
        ({"rate_limits": ()}, Kind.WIDER, "rate_limit by SUBJECT: 50 in 1 s -> none"),
        (
            {"rate_limits": (replace(LIMIT, requests=60),)},
            Kind.WIDER,
            "rate_limit by SUBJECT: 50 in 1 s -> 60 in 1 s",
        ),
        (
            {"rate_limits": (replace(LIMIT, per=timedelta(seconds=2)),)},
            Kind.NARROWER,
            "rate_limit by SUBJECT: 50 in 1 s -> 50 in 2 s",
        ),
        (
            {"rate_limits": (replace(LIMIT, requests=3000, per=timedelta(seconds=60)),)},
            Kind.WIDER,
            "rate_limit by SUBJECT: 50 in 1 s -> 3000 in 60 s",
        ),
        (
            {"rate_limits": (LIMIT, replace(LIMIT, requests=100, per=timedelta(seconds=60)))},
            Kind.NARROWER,
            "rate_limit by SUBJECT: 50 in 1 s -> 50 in 1 s and 100 in 60 s",
        ),
        ({"deadline": timedelta(seconds=60)}, Kind.OTHER, "deadline: 5 s -> 60 s"),
    ],
)
def test_what_a_change_means(fields: dict[str, object], kind: Kind, what: str) -> None:
    assert changes(**fields) == [(kind, what)]


def test_the_way_back_means_the_opposite() -> None:
    wider = policy(replace(METHOD, audience=Audience.PUBLIC, callers=frozenset({"order"}), owner_field=""))
    assert {each.kind for each in compare(wider, policy(METHOD))} == {Kind.NARROWER}


def test_a_limit_that_moves_to_another_key_is_dropped_and_new() -> None:
    moved = RateLimit(LimitKey.IP, LIMIT.requests, LIMIT.per, LIMIT.tier)
    assert changes(rate_limits=(moved,)) == [
        (Kind.NARROWER, "rate_limit by IP: none -> 50 in 1 s"),
        (Kind.WIDER, "rate_limit by SUBJECT: 50 in 1 s -> none"),
    ]


def test_one_of_two_limits_by_one_key_that_is_dropped_is_wider() -> None:
    slow = replace(LIMIT, requests=100, per=timedelta(seconds=60))
    both, one = (policy(replace(METHOD, rate_limits=limits)) for limits in ((LIMIT, slow), (slow,)))
    assert [(each.kind, each.what) for each in compare(both, one)] == [
        (Kind.WIDER, "rate_limit by SUBJECT: 50 in 1 s and 100 in 60 s -> 100 in 60 s")
    ]


def test_an_rpc_that_comes_or_goes_is_told_and_not_wider() -> None:
    nothing = Policy({}, {})
    assert [each.kind for each in compare(nothing, policy(METHOD))] == [Kind.NEW]
    assert [each.kind for each in compare(policy(METHOD), nothing)] == [Kind.GONE]


@pytest.fixture
def project(tmp_path: Path) -> Path:
    git(tmp_path, "init", "--initial-branch=main")
    return tmp_path


@pytest.fixture
def commit(project: Path) -> Commit:
    def make(policies: str, message: str) -> None:
        said(project / "protos", service("shop", rpc("Buy", policies), rpc("Sell", policies)))
        commit_contracts(project, message)

    return make


def test_what_became_wider_is_refused_with_the_words_to_commit(project: Path, commit: Commit) -> None:
    commit(USER, "first")
    assert check(project) is None
    commit(PUBLIC, "second")
    with pytest.raises(CompileError) as refused:
        check(project)
    lines = str(refused.value).splitlines()
    assert lines[:2] == [
        "shop.v1.ShopService/Buy: access.edge: USER -> PUBLIC",
        "shop.v1.ShopService/Sell: access.edge: USER -> PUBLIC",
    ]
    assert lines[2].endswith("a commit says so: Policy-Wider: ShopService/Buy why that is right")


def test_every_rpc_that_became_wider_has_to_be_named(project: Path, commit: Commit) -> None:
    commit(USER, "first")
    commit(PUBLIC, f"second\n\n{TRAILER}: ShopService/Buy everybody may buy")
    with pytest.raises(CompileError, match=r"^shop\.v1\.ShopService/Sell: access"):
        check(project)


def test_what_commits_name_is_let_through(project: Path, commit: Commit) -> None:
    commit(USER, "first")
    named = f"{TRAILER}: ShopService/Buy everybody may buy\n{TRAILER}: shop.v1.ShopService/Sell and sell"
    commit(PUBLIC, f"second\n\n{named}")
    checked = check(project)
    assert checked is not None
    assert len(checked[1]) == 2


def test_what_became_narrower_needs_no_words(project: Path, commit: Commit) -> None:
    commit(PUBLIC, "first")
    commit(USER, "second")
    checked = check(project)
    assert checked is not None
    assert checked[1] == []
