"""The matrix: starts every layer for real and puts every question to each of them."""

import asyncio
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from cli.local.pki import ensure_pki
from gateway.runtime import PORTAL
from mesh.call import IdempotencyKey
from mesh.decision import EDGE, Rule
from mesh.metrics import Metrics
from mesh.pipeline import PipelineCompiler, PipelineInterceptor
from mesh.policy import MethodPolicy
from mesh.tokens import KeySet, TokenVerifier
from tests.gateway.edges import start_edge
from tests.gateway.neighbours import Neighbour, policy
from tests.gateway.sidecars import start_behind_sidecar
from tests.harness import AUDIENCE, ISSUER, Tokens
from tests.parity.askers import INFRASTRUCTURE, Asker, askers
from tests.parity.layers import SIDECAR_RULES, EdgeLayer, Layer, MeshLayer, RestLayer
from tests.parity.report import Disagreement, Report

_AT_ONCE: Final = 16


async def run(directory: Path) -> Report:
    """Ask every layer about every method for every identity.

    Args:
        directory: empty; certificates, configurations and logs go there.

    Returns:
        The counts, and every answer that is not what the contract says.
    """
    report = Report()
    tokens = Tokens()
    everybody = askers(policy(), tokens)
    async with AsyncExitStack() as stack:
        for layer in await _start_layers(stack, directory, tokens):
            await _ask(layer, everybody, report)
    return report


async def _ask(layer: Layer, everybody: Sequence[Asker], report: Report) -> None:
    slots = asyncio.Semaphore(_AT_ONCE)

    async def ask(method: MethodPolicy, asker: Asker) -> None:
        expected = layer.expected(method, asker)
        if expected is None:
            return
        async with slots:
            answer = await layer.ask(method, asker)
        report.decisions[layer.name] += 1
        wanted = ("", "") if expected.allowed else (expected.code.name, expected.reason)
        if (answer.code, answer.reason) != wanted:
            report.disagreements.append(Disagreement(layer.name, method.path, asker.name, expected, answer))

    async with asyncio.TaskGroup() as questions:
        for method in policy().methods.values():
            for asker in everybody:
                questions.create_task(ask(method, asker))


async def _start_layers(stack: AsyncExitStack, directory: Path, tokens: Tokens) -> Sequence[Layer]:
    pki = directory / "pki"
    pki.mkdir()
    ensure_pki(pki, dict.fromkeys([*policy().workloads, *INFRASTRUCTURE, PORTAL, EDGE]))
    edge = await start_edge(stack, pki, directory, tokens=tokens)
    return [
        MeshLayer("pipeline", tuple(Rule), await _pipelines(stack, pki, tokens), pki, stack),
        EdgeLayer(edge, pki, stack),
        RestLayer(edge),
        MeshLayer("sidecar", SIDECAR_RULES, await _sidecars(stack, pki, directory), pki, stack),
    ]


async def _pipelines(stack: AsyncExitStack, pki: Path, tokens: Tokens) -> dict[str, str]:
    """Serve every workload's methods behind their pipelines, without anything to do behind them."""
    verifier = TokenVerifier(KeySet(tokens.key_set), issuer=ISSUER, audience=AUDIENCE)
    addresses = {}
    for workload in policy().workloads:
        interceptor = PipelineInterceptor(policy().methods, PipelineCompiler(Metrics(), verifier, _nothing_stored))
        server = Neighbour(workload, pki / workload, interceptors=[interceptor])
        await server.start()
        stack.push_async_callback(server.kill)
        addresses[workload] = server.address
    return addresses


async def _sidecars(stack: AsyncExitStack, pki: Path, directory: Path) -> dict[str, str]:
    """Put a sidecar before each workload's stand-in, which serves whoever gets through."""
    addresses = {}
    for workload in policy().workloads:
        own = directory / f"{workload}-sidecar"
        own.mkdir()
        sidecar, _ = await start_behind_sidecar(stack, workload, pki, own)
        addresses[workload] = sidecar.address
    return addresses


async def _nothing_stored(_: IdempotencyKey) -> None:
    """Every key is new: what is asked here was never asked before."""
