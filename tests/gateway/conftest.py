"""One edge for all tests that leave it as they found it, and the identities for those that need their own."""

from collections.abc import AsyncIterator
from contextlib import AsyncExitStack
from pathlib import Path

import pytest
import pytest_asyncio

from cli.local.pki import ensure_pki
from gateway.runtime import PORTAL
from tests.gateway.edges import Edge, start_edge
from tests.gateway.neighbours import policy


@pytest.fixture(scope="session")
def pki(tmp_path_factory: pytest.TempPathFactory) -> Path:
    directory = tmp_path_factory.mktemp("pki")
    ensure_pki(directory, [*policy().workloads, PORTAL, "edge", "operator"])
    return directory


@pytest_asyncio.fixture(scope="session", loop_scope="session")
async def shared_edge(pki: Path, tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Edge]:
    async with AsyncExitStack() as stack:
        edge = await start_edge(stack, pki, tmp_path_factory.mktemp("edge"), signed_in=True)
        await edge.remembers_tokens()
        yield edge


@pytest_asyncio.fixture(loop_scope="session")
async def edge(shared_edge: Edge) -> AsyncIterator[Edge]:
    """The shared edge, which reaches its neighbours; they remember nothing."""
    await shared_edge.reaches_everybody()
    shared_edge.forget()
    yield shared_edge
    shared_edge.forget()
