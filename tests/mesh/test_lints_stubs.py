"""The declared calls are those that the code makes, however it holds its stubs."""

from pathlib import Path

import pytest
from google.protobuf.descriptor_pb2 import FileDescriptorSet

from mesh.compiler.lints import lint_stubs
from mesh.compiler.lints.stubs import uses
from mesh.compiler.protos import describe
from mesh.policy import Policy, load_policy, read_policy
from tests.mesh.offending import USER, internal, rpc, said, service

ROOT = Path(__file__).resolve().parents[2]
COUNT = "/stock.v1.StockService/Count"


@pytest.fixture(scope="module")
def policy(tmp_path_factory: pytest.TempPathFactory) -> Policy:
    protos = tmp_path_factory.mktemp("protos")
    stock = service("stock", rpc("Count", internal("shop")), rpc("Take", internal("shop")))
    shop = service("shop", rpc("Buy", USER), calls=["stock.v1.StockService/Count"])
    said(protos, stock, shop)
    return read_policy(FileDescriptorSet.FromString(describe(protos)))


def project(root: Path, code: str) -> Path:
    directory = root / "services" / "shop"
    directory.mkdir(parents=True)
    (directory / "clients.py").write_text(code)
    return root


@pytest.mark.parametrize(
    "code",
    [
        "async def ask(channel):\n    await StockServiceStub(channel).Count(1)",
        "async def ask(channel):\n    stub = StockServiceStub(channel)\n    await stub.Count(1)",
        "async def ask(stub: StockServiceStub):\n    await stub.Count(1)",
        (
            "class A:\n    def __init__(self, stub: 'StockServiceAsyncStub | None'):\n        self._stub = stub\n"
            "    async def ask(self):\n        await self._stub.Count(1)"
        ),
        (
            "@dataclass\nclass A:\n    stub: StockServiceAsyncStub\n"
            "    async def ask(self):\n        ask = self.stub.Count\n        await ask(1)"
        ),
        "async def ask(channel):\n    await channel.unary_unary('/stock.v1.StockService/Count')(b'')",
        "async def ask(channel):\n    await grpc_code.StockServiceStub(channel).Count(1)",
    ],
    ids=["at once", "variable", "argument", "attribute", "dataclass", "path", "module"],
)
def test_a_call_is_found_however_the_stub_is_held(tmp_path: Path, policy: Policy, code: str) -> None:
    root = project(tmp_path, code)
    assert {use.path for use in uses(root, root, policy)} == {COUNT}
    assert lint_stubs(root, policy) == []


def test_a_call_that_no_contract_declares_is_named_with_its_line(tmp_path: Path, policy: Policy) -> None:
    root = project(
        tmp_path, "async def ask(stub: StockServiceStub):\n    await stub.Count(1)\n    await stub.Take(1)\n"
    )
    assert [str(each) for each in lint_stubs(root, policy)] == [
        (
            "services/shop/clients.py:3: stock.v1.StockService/Take: shop calls it undeclared; add calls: "
            '"stock.v1.StockService/Take" to its service, or to the RPC that makes the call [undeclared-call]'
        ),
    ]


def test_a_declared_call_that_no_code_makes_is_named(tmp_path: Path, policy: Policy) -> None:
    root = project(tmp_path, "async def ask(stub: OtherStub):\n    await stub.Count(1)\n")
    assert [str(each) for each in lint_stubs(root, policy)] == [
        (
            "services/shop: stock.v1.StockService/Count: shop declares this call and never makes it; drop it from "
            "calls, and from the callers it has there [unused-call]"
        ),
    ]


def test_the_shop_makes_the_calls_that_its_contracts_declare() -> None:
    assert [str(each) for each in lint_stubs(ROOT, load_policy())] == []
    assert len(set(uses(ROOT, ROOT / "services" / "order", load_policy()))) >= 9
