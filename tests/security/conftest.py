"""Attackers at every door of the running shop."""

from collections.abc import AsyncIterator

import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from tests.harness import Tokens
from tests.journeys.conftest import admin, buyer, nobody, put_on_sale, register, transport
from tests.journeys.running import RunningShop
from tests.security.inside import Inside

__all__ = ["admin", "buyer", "nobody", "put_on_sale", "register", "transport"]


@pytest.fixture(scope="session")
def ports(shop: RunningShop) -> dict[str, int]:
    """Where the mesh calls each workload: at its own port, or at its sidecar's."""
    status = shop.status()
    return {name: int(status.get(f"{name}.sidecar", process)["port"]) for name, process in status.items()}


@pytest.fixture
def genuine_customer(genuine: Tokens) -> str:
    """The token of some customer: signed by the shop's key, for no account."""
    return genuine.customer()


@pytest.fixture
async def inside(shop: RunningShop, ports: dict[str, int]) -> AsyncIterator[Inside]:
    opened = Inside(shop, ports)
    yield opened
    await opened.close()


@pytest.fixture(scope="session")
def genuine(shop: RunningShop) -> Tokens:
    """Signs with the shop's own key: what is wrong with such a token is wrong with its claims or headers alone."""
    pem = max((shop.home / "pki" / "tokens").glob("*.pem"), key=lambda path: path.stat().st_mtime)
    key = serialization.load_pem_private_key(pem.read_bytes(), password=None)
    assert isinstance(key, Ed25519PrivateKey)
    return Tokens(key, pem.stem)
