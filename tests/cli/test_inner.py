"""The identities between a service and its sidecar: each trusts the other and nobody else does."""

import ssl
from pathlib import Path

import pytest
from cryptography import x509

from cli.local.inner import inner_directory, issue_inner
from cli.local.pki import ensure_pki, identities
from mesh.sidecar import SERVICE, SIDECAR
from tests.cli.test_pki import handshake


@pytest.fixture
def pki(tmp_path: Path) -> Path:
    ensure_pki(tmp_path, ["order", "payment"])
    issue_inner(tmp_path, ["order", "payment"])
    return tmp_path


def test_service_and_sidecar_know_each_other_by_name(pki: Path) -> None:
    service, sidecar = (inner_directory(pki, "order", part) for part in (SERVICE, SIDECAR))

    handshake(service, sidecar, SERVICE)
    handshake(sidecar, service, SIDECAR)

    certificate = x509.load_pem_x509_certificate((sidecar / "cert.pem").read_bytes())
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == ["spiffe://zoco.local/order/sidecar"]


@pytest.mark.parametrize(
    ("server", "client"),
    [
        ("order/inner/service", "order"),
        ("order/inner/service", "payment/inner/sidecar"),
        ("order", "order/inner/service"),
    ],
    ids=["the workload to its service", "another's sidecar to the service", "the service to the mesh"],
)
def test_nobody_else_is_trusted(pki: Path, server: str, client: str) -> None:
    with pytest.raises(ssl.SSLError):
        handshake(pki / server, pki / client, "localhost")


def test_every_start_makes_them_anew_and_nobody_keeps_what_signed_them(pki: Path) -> None:
    place = inner_directory(pki, "order", SERVICE)
    before = (place / "cert.pem").read_bytes(), (place / "ca.pem").read_bytes()
    workload = (pki / "order/cert.pem").read_bytes()

    issue_inner(pki, ["order"])

    assert (place / "cert.pem").read_bytes() != before[0]
    assert (place / "ca.pem").read_bytes() != before[1]
    assert (pki / "order/cert.pem").read_bytes() == workload
    assert {path.name for path in place.parent.rglob("*.pem")} == {"cert.pem", "key.pem", "ca.pem"}


def test_they_are_no_identities_of_the_mesh(pki: Path) -> None:
    assert set(identities(pki)) == {"order", "payment", "edge-tls"}
