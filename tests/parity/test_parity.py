"""Every layer decides as the contract says."""

from pathlib import Path

from tests.gateway.neighbours import policy
from tests.harness import Tokens
from tests.parity.askers import askers
from tests.parity.matrix import run


async def test_every_layer_decides_alike_for_every_method_and_identity(tmp_path: Path) -> None:
    report = await run(tmp_path)
    print(*report.lines(), sep="\n")
    assert not report.disagreements, "\n".join(map(str, report.disagreements))
    everything = len(policy().methods) * len(askers(policy(), Tokens()))
    assert [report.decisions[layer] for layer in ("pipeline", "edge, gRPC", "sidecar")] == [everything] * 3
    assert report.decisions["edge, REST"] > 0
