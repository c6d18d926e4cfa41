"""The portal's pages follow the rotation of certificates."""

import ssl
from collections.abc import AsyncIterator
from pathlib import Path

import httpx
import pytest
from cryptography.hazmat.primitives.serialization import Encoding

from cli.local.pki import ensure_pki
from cli.local.rotation import rotate_authority, rotate_leaves
from gateway.portal.process import Portal, start
from gateway.runtime import PORTAL
from mesh.credentials import BadCredentials, read_material
from tests.gateway.edges import portal_settings


@pytest.fixture
def own_pki(tmp_path: Path) -> Path:
    ensure_pki(tmp_path, [PORTAL, "edge", "order"])
    return tmp_path


@pytest.fixture
async def portal(own_pki: Path) -> AsyncIterator[Portal]:
    running = await start(portal_settings(own_pki, {}))
    yield running
    await running.stop()


def known(identity: Path) -> ssl.SSLContext:
    context = ssl.create_default_context(cafile=identity / "ca.pem")
    context.load_cert_chain(identity / "cert.pem", identity / "key.pem")
    return context


async def shown(portal: Portal, context: ssl.SSLContext) -> bytes:
    """The certificate that a new connection is shown."""
    async with (
        httpx.AsyncClient(verify=context, trust_env=False) as client,
        client.stream("GET", f"https://localhost:{portal.page_port}/healthz") as answer,
    ):
        await answer.aread()
        raw = answer.extensions["network_stream"].get_extra_info("ssl_object").getpeercert(binary_form=True)
    return bytes(raw)


def own_certificate(pki: Path) -> bytes:
    return read_material(pki / PORTAL).leaf.public_bytes(Encoding.DER)


async def test_a_new_connection_is_shown_the_new_certificate(own_pki: Path, portal: Portal) -> None:
    assert await shown(portal, known(own_pki / "edge")) == own_certificate(own_pki)
    before = own_certificate(own_pki)

    rotate_leaves(own_pki, PORTAL)

    assert await shown(portal, known(own_pki / "edge")) == own_certificate(own_pki) != before


async def test_a_certificate_of_a_dropped_authority_is_refused(own_pki: Path, portal: Portal) -> None:
    old = known(own_pki / "edge")
    await shown(portal, old)

    rotate_authority(own_pki, lambda _: None, lambda _: None)

    # It would trust the new authority by now; it is the portal that must not take what the old one signed.
    old.load_verify_locations(own_pki / "ca.pem")
    with pytest.raises((httpx.ReadError, httpx.ConnectError)):
        await shown(portal, old)
    await shown(portal, known(own_pki / "edge"))


async def test_a_portal_with_somebody_elses_certificate_does_not_start(own_pki: Path) -> None:
    settings = portal_settings(own_pki, {}).model_copy(update={"pki_dir": own_pki / "order"})

    with pytest.raises(
        BadCredentials, match=r"of spiffe://zoco\.local/order is not that of spiffe://zoco\.local/portal"
    ):
        await start(settings)
