"""`zoco policy`: who may call what, why, and what became wider, as a person reads it."""

import json
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import pytest
from typer.testing import CliRunner

from cli.app import app
from cli.failures import Failure
from cli.local.settings import PROJECT
from cli.policy.contracts import present
from cli.policy.explanation import explain
from mesh.compiler.protos import describe
from mesh.policy import load_policy
from tests.mesh.offending import PUBLIC, USER, internal, rpc, said, service


def zoco(*arguments: str) -> tuple[str, int]:
    """What a command writes, and its exit code."""
    done = CliRunner().invoke(app, ["policy", *arguments])
    if isinstance(done.exception, Failure):
        raise done.exception
    return done.output, done.exit_code


def refused(*arguments: str) -> str:
    with pytest.raises(Failure) as failure:
        zoco(*arguments)
    return str(failure.value)


def test_the_table_shows_every_rpc_within_120_columns() -> None:
    shown, code = zoco("show")
    lines = shown.splitlines()
    assert code == 0
    assert max(map(len, lines)) <= 120
    names = [line.split()[0] for line in lines if line.startswith("  ") and line[2] != " "]
    assert sorted(names) == sorted(method.name for method in load_policy().methods.values())
    assert lines[-1] == "64 RPCs, 57 of them open to the outside."


@pytest.mark.parametrize(
    "line",
    [
        "CreateOrder USER - - 5/s subject 10 s 3x keyed",
        "BatchGetProducts PUBLIC order - 200/s IP 3 s 2x reads",
        "UpdateUser USER - user.id 50/s subject 5 s 3x idempotent",
        "Capture - order - - 15 s 3x keyed",
        "WatchOrder USER - - 50/s subject 1 h reads",
    ],
)
def test_a_line_says_who_from_where_how_often_and_how_long(line: str) -> None:
    assert line in [" ".join(shown.split()) for shown in zoco("show")[0].splitlines()]


def test_programs_get_the_same_as_json() -> None:
    shown = json.loads(zoco("show", "--json")[0])
    assert shown.keys() == load_policy().methods.keys()
    order = shown["/zoco.order.v1.OrderService/CreateOrder"]
    assert (order["edge"], order["deadlineSeconds"], order["keyed"]) == ("USER", 10, True)
    assert order["rateLimits"] == [{"by": "SUBJECT", "requests": 5, "perSeconds": 1, "tier": "create_order"}]
    assert shown["/zoco.payment.v1.PaymentService/Capture"]["callers"] == ["order"]


@pytest.mark.parametrize(
    ("method", "identity", "verdict", "line"),
    [
        ("GetOrder", "nobody", "refused with UNAUTHENTICATED TOKEN_MISSING", "access.edge: EDGE_AUDIENCE_USER"),
        ("GetOrder", "expired", "refused with UNAUTHENTICATED TOKEN_EXPIRED", "access.edge: EDGE_AUDIENCE_USER"),
        ("GetOrder", "invalid", "refused with UNAUTHENTICATED TOKEN_INVALID", "access.edge: EDGE_AUDIENCE_USER"),
        ("GetOrder", "user", "allowed", "access.edge: EDGE_AUDIENCE_USER"),
        ("GetUser", "user", "allowed", "access.edge: EDGE_AUDIENCE_USER"),
        ("GetUser", "other", "refused with NOT_FOUND RESOURCE_NOT_FOUND", 'access.owner_field: "id"'),
        ("GetUser", "admin", "allowed", "access.edge: EDGE_AUDIENCE_USER"),
        ("ListUsers", "user", "refused with PERMISSION_DENIED ROLE_REQUIRED", "access.edge: EDGE_AUDIENCE_ADMIN"),
        ("ListUsers", "admin", "allowed", "access.edge: EDGE_AUDIENCE_ADMIN"),
        ("Login", "expired", "allowed", "access.edge: EDGE_AUDIENCE_PUBLIC"),
        ("Capture", "admin", "refused with PERMISSION_DENIED NOT_EXPOSED", "access.edge: EDGE_AUDIENCE_NONE"),
        ("Capture", "order", "allowed", 'access.callers: ["order"]'),
        ("Capture", "notification", "refused with PERMISSION_DENIED CALLER_NOT_ALLOWED", 'access.callers: ["order"]'),
        ("Capture", "operator", "refused with PERMISSION_DENIED CALLER_NOT_ALLOWED", 'access.callers: ["order"]'),
        ("Capture", "stranger", "refused with PERMISSION_DENIED CALLER_NOT_ALLOWED", 'access.callers: ["order"]'),
        ("Capture", "plain", "refused with UNAUTHENTICATED WORKLOAD_UNKNOWN", 'access.callers: ["order"]'),
    ],
)
def test_a_decision_is_told_with_the_line_that_makes_it(method: str, identity: str, verdict: str, line: str) -> None:
    told, code = zoco("explain", method, identity)
    lines = told.splitlines()
    assert code == 0
    assert lines[0].endswith(verdict)
    assert (len(lines) == 3) == (verdict != "allowed")
    place, _, words = lines[-1].partition(": ")
    assert words == line
    file, _, number = place.rpartition(":")
    there = (PROJECT / file).read_text().splitlines()[int(number) - 1]
    assert line.split(".")[1].split(":", maxsplit=1)[0] in there


def test_where_only_the_service_knows_the_owner_that_is_said() -> None:
    told = zoco("explain", "GetOrder", "other")[0]
    assert "as far as the contract knows: whose it is, the service finds out, and answers NOT_FOUND" in told


def test_what_a_workload_may_with_a_persons_token_is_said() -> None:
    method = replace(load_policy().methods["/zoco.user.v1.UserService/GetUser"], callers=frozenset({"order"}))
    said = "with a person's token it may what that person may: their role and whose it is count as from outside"
    assert said in explain(present(), method, "order")
    assert said not in explain(present(), method, "user")


@pytest.mark.parametrize(
    "name",
    [
        "GetOrder",
        "getorder",
        "OrderService/GetOrder",
        "OrderService.GetOrder",
        "zoco.order.v1.OrderService/GetOrder",
        "/zoco.order.v1.OrderService/GetOrder",
    ],
)
def test_an_rpc_is_found_by_as_much_of_its_name_as_tells_it_apart(name: str) -> None:
    assert zoco("explain", name, "user")[0].startswith("OrderService/GetOrder by user")


def test_what_does_not_exist_gets_one_sentence() -> None:
    assert refused("explain", "GetOrders", "user") == (
        "GetOrders is no RPC of the contracts; `zoco policy show` lists them."
    )
    assert refused("explain", "GetOrder", "root").startswith(
        "root is no identity; there are nobody, user, other, admin"
    )
    assert refused("diff", "nonsense") == (
        "nonsense is neither a file nor a git revision that has generated/descriptors.binpb."
    )
    assert refused("diff", "--", "--output=/tmp/x").endswith("nor a git revision that has generated/descriptors.binpb.")
    assert refused("diff", str(PROJECT / "README.md")).endswith(
        "README.md holds no compiled contracts; generated/descriptors.binpb of each revision does."
    )
    assert refused("diff", str(PROJECT / "cli")).endswith(
        "cli is a directory; name a git revision, or a file like generated/descriptors.binpb."
    )


def test_a_sentence_goes_to_stderr_and_the_exit_code_is_1() -> None:
    command = [sys.executable, "-m", "cli", "policy", "explain", "Nothing", "user"]
    done = subprocess.run(command, cwd=PROJECT, capture_output=True, text=True, check=False)
    assert (done.returncode, done.stdout) == (1, "")
    assert done.stderr == "zoco: Nothing is no RPC of the contracts; `zoco policy show` lists them.\n"


def contracts(directory: Path, *rpcs: str) -> str:
    """A file with compiled contracts."""
    stock = service("stock", rpc("Count", internal("shop", "bank")))
    said(directory / "protos", stock, service("bank", rpc("Pay", USER)), service("shop", *rpcs))
    image = directory / "contracts.binpb"
    image.write_bytes(describe(directory / "protos"))
    return str(image)


def test_the_difference_between_two_files_names_what_became_wider(tmp_path: Path) -> None:
    old = contracts(tmp_path / "old", rpc("Buy", USER), rpc("Sell", USER), rpc("Look", USER))
    new = contracts(
        tmp_path / "new",
        rpc("Buy", PUBLIC),
        rpc("Sell", USER.replace("seconds: 1}", "seconds: 2}", 1)),
        rpc("Give", USER),
    )
    told, code = zoco("diff", old, new)
    assert code == 1
    assert [line.split(maxsplit=2) for line in told.splitlines()[:-2]] == [
        ["wider", "ShopService/Buy", "access.edge: USER -> PUBLIC"],
        ["new", "ShopService/Give", "access.edge USER"],
        ["other", "ShopService/Sell", "deadline: 1 s -> 2 s"],
        ["gone", "ShopService/Look", "access.edge USER"],
    ]
    assert told.splitlines()[-1] == "1 RPC became wider."


def test_nothing_wider_is_exit_code_0(tmp_path: Path) -> None:
    one = contracts(tmp_path / "old", rpc("Buy", USER))
    assert zoco("diff", one, one) == ("Who may do what is the same in all 3 RPCs.\n", 0)
    narrower = contracts(tmp_path / "new", rpc("Buy", USER.replace("USER", "ADMIN")))
    told, code = zoco("diff", one, narrower)
    assert (code, told.splitlines()[-1]) == (0, "No RPC became wider.")


def test_a_revision_is_as_good_as_a_file() -> None:
    if not (PROJECT / ".git").exists():
        pytest.skip("not a checkout")
    told, code = zoco("diff", "HEAD", "HEAD")
    assert (code, told) == (0, "Who may do what is the same in all 64 RPCs.\n")
