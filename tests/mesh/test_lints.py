"""Each lint with a contract that breaks its rule, and what is said of it."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler import CompileError
from mesh.compiler.__main__ import generate
from mesh.compiler.lints import LINTS, lint_project
from mesh.policy import DESCRIPTORS
from tests.mesh.offending import (
    LIMIT,
    PUBLIC,
    READ,
    USER,
    internal,
    rest,
    rpc,
    said,
    service,
)

ROOT = Path(__file__).resolve().parents[2]

SHOP = service("shop", rpc("Buy", USER))
AT = "protos/shop/v1/service.proto:13: shop.v1.ShopService/Buy: "
"""Where the first method of the contracts below stands, and how a finding begins."""


def test_the_contracts_of_the_shop_keep_to_every_rule() -> None:
    descriptors = FileDescriptorSet.FromString(DESCRIPTORS.read_bytes())
    assert [str(each) for each in lint_project(ROOT, descriptors)] == []


def test_a_contract_that_keeps_to_every_rule_has_no_findings(tmp_path: Path) -> None:
    assert said(tmp_path, SHOP) == []


def test_every_lint_has_a_test() -> None:
    tests = "".join(path.read_text() for path in Path(__file__).parent.glob("test_lints*.py"))
    assert [each.name for each in LINTS if f"[{each.name}]" not in tests and f'"{each.name}"' not in tests] == []


@pytest.mark.parametrize(
    ("policy", "options", "finding"),
    [
        ("", [], "no policy; add option (zoco.mesh.v1.method) [incomplete]"),
        (
            "deadline: {seconds: 1}",
            [],
            "no audience; say access.edge, there is no default [incomplete]",
        ),
        (
            "access: {edge: EDGE_AUDIENCE_NONE callers: ['shop']}",
            [],
            "no deadline; say how long a call may take [incomplete]",
        ),
        (
            "access: {edge: EDGE_AUDIENCE_USER} deadline: {seconds: 1} rate_limit: {requests: 5}",
            [],
            "half a rate_limit; say by, requests, per and tier [incomplete]",
        ),
        (
            USER.replace("seconds: 1}", "seconds: 0}", 1),
            [],
            "its deadline is 0 s; give it some time [no-time]",
        ),
        (
            USER.replace("USER", 'USER callers: ["edge"]'),
            [],
            "access.callers names the edge; drop it: access.edge says what comes from outside [unknown-caller]",
        ),
        (
            USER.replace("USER", 'USER callers: ["ghost"]'),
            [],
            (
                'access.callers names "ghost", which is no workload; name one that a service declares, or declare '
                "it as one of the mesh's clients [unknown-caller]"
            ),
        ),
        (
            internal(),
            [],
            "access.edge is NONE and there are no callers; let somebody call it, or drop it [unreachable]",
        ),
        (
            PUBLIC.replace("PUBLIC", 'PUBLIC owner_field: "id"'),
            [READ],
            (
                "access.owner_field is said, but access.edge is PUBLIC; only a USER method has an owner to check: "
                "make it one, or drop the owner_field [owner-unchecked]"
            ),
        ),
        (
            USER.replace("USER", 'USER owner_field: "thing"'),
            [],
            (
                'access.owner_field "thing" is no string field of shop.v1.DoRequest; name the field with the '
                "user's id [owner-unchecked]"
            ),
        ),
        (
            USER + ' retry: {max_attempts: 3 codes: "UNAVAILABLE"}',
            [],
            (
                "it is retried, but a repeat may have a second effect; declare it NO_SIDE_EFFECTS or IDEMPOTENT, "
                "make it KEYED, or drop retry [unsafe-retry]"
            ),
        ),
        (
            USER + ' retry: {max_attempts: 6 codes: "UNAVAILABLE"}',
            [READ],
            "retry.max_attempts is 6; gRPC makes 5 at most; say 5 or fewer [retry-attempts]",
        ),
        (
            USER + ' retry: {max_attempts: 1 codes: "UNAVAILABLE"}',
            [READ],
            "retry.max_attempts is 1: no retry; say 2 or more, or drop it [retry-attempts]",
        ),
        (
            USER + ' retry: {max_attempts: 2 codes: "UNAVALABLE"}',
            [READ],
            "retry.codes names UNAVALABLE; name gRPC status codes, such as UNAVAILABLE [retry-attempts]",
        ),
        (
            USER + " retry: {max_attempts: 2}",
            [READ],
            "retry.codes is empty; say which status is repeated, such as UNAVAILABLE [retry-attempts]",
        ),
        (
            PUBLIC + " cache_ttl: {seconds: 1}",
            [],
            "cache_ttl on a method with side effects; declare it NO_SIDE_EFFECTS, or drop cache_ttl [unsafe-cache]",
        ),
        (
            USER + " cache_ttl: {seconds: 1}",
            [READ],
            (
                "cache_ttl on a method for USER: one person would get another's answer; drop cache_ttl; only what is "
                "PUBLIC is the same for everybody [unsafe-cache]"
            ),
        ),
        (
            USER + ' calls: "shop.v1.ShopService/Sell"',
            [],
            (
                'calls names "shop.v1.ShopService/Sell", which no service has; spell it package.v1.Service/Method, '
                "without a slash [unknown-call]"
            ),
        ),
        (
            USER.replace(LIMIT, ""),
            [],
            "it is open to the outside without a rate_limit; say how often it may be called [missing-limit]",
        ),
        (
            PUBLIC.replace("KEY_IP", "KEY_SUBJECT"),
            [READ],
            "it is PUBLIC and limited by SUBJECT alone, which nobody has to be; limit it by IP too [missing-limit]",
        ),
        (
            PUBLIC.replace("KEY_IP", "KEY_GLOBAL"),
            [],
            "anybody can change something with it, without a limit by IP; limit it by IP [public-change-unlimited]",
        ),
        (
            USER,
            [rest("get", "/v1/things/{name}")],
            (
                "/v1/things/{name} binds name, which shop.v1.DoRequest does not have; name one of its fields "
                "[unbound-variable]"
            ),
        ),
        (
            USER,
            [rest("post", "/v1/things/{id}", "name")],
            'its body is "name", which shop.v1.DoRequest does not have; name one of its fields [unbound-variable]',
        ),
        (
            USER,
            [rest("patch", "/v1/things/{id}", "thing")],
            (
                "/v1/things/{id} says id, and thing.id in the body can contradict it; bind {thing.id} in the path "
                "instead, or take thing.id out of the body [contradicting-body]"
            ),
        ),
    ],
)
def test_a_rule_that_one_method_breaks(tmp_path: Path, policy: str, options: list[str], finding: str) -> None:
    assert said(tmp_path, service("shop", rpc("Buy", policy, *options))) == [AT + finding]


def test_all_findings_come_at_once_and_stop_the_generation(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    project = tmp_path / "project"
    (project / "mesh").mkdir(parents=True)
    (project / "mesh/tuning.yaml").write_bytes((ROOT / "mesh/tuning.yaml").read_bytes())
    (project / "pyproject.toml").write_text("")
    said(project / "protos", service("shop", rpc("Buy", ""), rpc("Sell", internal("ghost"))))
    with pytest.raises(CompileError) as refused:
        generate(project)
    lines = str(refused.value).splitlines()
    assert [line.rpartition(" ")[2] for line in lines[-3:-1]] == ["[incomplete]", "[unknown-caller]"]
    assert lines[-1] == "7 findings in the contracts."
