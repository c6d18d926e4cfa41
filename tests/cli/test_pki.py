"""The development certificate authority, checked with OpenSSL by a real handshake."""

import socket
import ssl
import stat
import threading
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from cli.failures import CorruptState
from cli.local.pki import EDGE_TLS, ensure_pki, ensure_signing_key


def certificate(directory: Path) -> x509.Certificate:
    return x509.load_pem_x509_certificate((directory / "cert.pem").read_bytes())


def names(directory: Path) -> x509.SubjectAlternativeName:
    return certificate(directory).extensions.get_extension_for_class(x509.SubjectAlternativeName).value


def handshake(server: Path, client: Path, host: str) -> None:
    """A mutual TLS handshake over a real socket; raises what the client's OpenSSL says."""
    ours = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH, cafile=str(server / "ca.pem"))
    ours.load_cert_chain(server / "cert.pem", server / "key.pem")
    ours.verify_mode = ssl.CERT_REQUIRED
    theirs = ssl.create_default_context(cafile=str(client / "ca.pem"))
    theirs.verify_flags |= ssl.VERIFY_X509_STRICT
    theirs.load_cert_chain(client / "cert.pem", client / "key.pem")
    near, far = socket.socketpair()
    refused: list[Exception] = []

    def serve() -> None:
        try:
            with ours.wrap_socket(far, server_side=True) as secure:
                secure.sendall(secure.recv(5))
        except (ssl.SSLError, OSError) as error:
            refused.append(error)

    thread = threading.Thread(target=serve)
    thread.start()
    try:
        with theirs.wrap_socket(near, server_hostname=host) as secure:
            secure.sendall(b"hello")
            assert secure.recv(5) == b"hello", refused
    finally:
        far.close()
        thread.join()


@pytest.mark.parametrize("host", ["order", "localhost", "127.0.0.1"])
def test_two_workloads_recognise_each_other(tmp_path: Path, host: str) -> None:
    ensure_pki(tmp_path, ["order", "product"])
    handshake(tmp_path / "order", tmp_path / "product", host)


def test_a_workload_of_another_home_is_refused(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).mkdir()
        ensure_pki(tmp_path / name, ["order"])
    with pytest.raises(ssl.SSLError):
        handshake(tmp_path / "a" / "order", tmp_path / "b" / "order", "order")


def test_a_certificate_carries_one_spiffe_id(tmp_path: Path) -> None:
    ensure_pki(tmp_path, ["order"])
    assert names(tmp_path / "order").get_values_for_type(x509.UniformResourceIdentifier) == [
        "spiffe://zoco.local/order"
    ]


def test_the_certificate_shown_to_browsers_is_no_identity_inside(tmp_path: Path) -> None:
    ensure_pki(tmp_path, [])
    shown = names(tmp_path / EDGE_TLS)
    assert shown.get_values_for_type(x509.UniformResourceIdentifier) == []
    assert shown.get_values_for_type(x509.DNSName) == ["localhost"]


def test_private_keys_are_readable_by_their_owner_only(tmp_path: Path) -> None:
    ensure_pki(tmp_path, ["order"])
    keys = [tmp_path / "ca-key.pem", tmp_path / "order" / "key.pem", *(tmp_path / "tokens").iterdir()]
    assert [stat.S_IMODE(key.stat().st_mode) for key in keys] == [0o600] * 3


def test_a_leaf_lives_thirty_days_and_is_renewed_after_twenty(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    assert ensure_pki(tmp_path, ["order"], now=now) == ["order", EDGE_TLS]
    first = certificate(tmp_path / "order")
    assert timedelta(days=29) < first.not_valid_after_utc - now < timedelta(days=31)
    assert ensure_pki(tmp_path, ["order"], now=now + timedelta(days=19)) == []
    assert ensure_pki(tmp_path, ["order"], now=now + timedelta(days=21)) == ["order", EDGE_TLS]
    assert certificate(tmp_path / "order").serial_number != first.serial_number


def test_a_new_workload_gets_a_certificate_and_the_others_keep_theirs(tmp_path: Path) -> None:
    ensure_pki(tmp_path, ["order"])
    assert ensure_pki(tmp_path, ["order", "loyalty"]) == ["loyalty"]


def test_a_lost_authority_is_made_anew_with_every_certificate(tmp_path: Path) -> None:
    ensure_pki(tmp_path, ["order", "product"])
    (tmp_path / "ca-key.pem").unlink()
    assert ensure_pki(tmp_path, ["order", "product"]) == ["order", "product", EDGE_TLS]
    handshake(tmp_path / "order", tmp_path / "product", "order")


def test_a_damaged_certificate_is_named_with_the_remedy(tmp_path: Path) -> None:
    ensure_pki(tmp_path, ["order"])
    (tmp_path / "order" / "cert.pem").write_text("-----BEGIN CERTIFICATE-----\nno\n")
    with pytest.raises(CorruptState, match=r"order/cert\.pem is damaged .* `make reset`"):
        ensure_pki(tmp_path, ["order"])


def test_the_signing_key_is_made_once(tmp_path: Path) -> None:
    first = ensure_signing_key(tmp_path / "tokens")
    assert ensure_signing_key(tmp_path / "tokens") == first
    assert isinstance(load_pem_private_key(first.read_bytes(), password=None), Ed25519PrivateKey)
