"""The probe service, running."""

from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import Any

import pytest

from tests.harness import Harness, ServiceUnderTest
from tests.mesh.probe import Probe, ProbeContract, compile_probe, probe_build


@pytest.fixture(scope="session")
def contract(tmp_path_factory: pytest.TempPathFactory) -> ProbeContract:
    return compile_probe(tmp_path_factory.mktemp("probe"))


@dataclass(frozen=True)
class RunningProbe:
    service: ServiceUnderTest
    contract: ProbeContract
    servicer: Probe

    def stub(self, caller: str = "edge", token: str | None = None, **metadata: str) -> Any:
        return self.contract.stubs.ProbeServiceStub(self.service.channel(caller, token, **metadata))

    @property
    def messages(self) -> Any:
        return self.contract.messages


@pytest.fixture
async def probe(harness: Harness, contract: ProbeContract) -> AsyncIterator[RunningProbe]:
    made: list[Probe] = []
    async with harness.running(
        "product", probe_build(contract, made), ZOCO_DESCRIPTORS=contract.descriptors
    ) as service:
        yield RunningProbe(service, contract, made[0])
