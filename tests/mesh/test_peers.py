"""Who is at the other end of a connection: read once a connection, and never taken for another's."""

import pytest

from mesh import peers
from mesh.peers import Peers

ORDER = b"spiffe://zoco.local/order"


class Connection:
    """A call's context, as far as it tells of the peer; counts how often the certificate is read."""

    def __init__(self, address: str, names: list[bytes], ids: list[bytes]) -> None:
        self.read = 0
        self._address, self._names, self._ids = address, names, ids

    def peer(self) -> str:
        return self._address

    def peer_identities(self) -> list[bytes] | None:
        return self._names or None

    def auth_context(self) -> dict[str, list[bytes]]:
        self.read += 1
        return {"peer_spiffe_id": self._ids} if self._ids else {}


def test_the_certificate_of_a_connection_is_read_once() -> None:
    known, connection = Peers(), Connection("ipv4:10.0.0.1:4000", [ORDER], [ORDER])

    assert [tuple(known.spiffe_ids(connection)) for _ in range(3)] == [(ORDER,)] * 3
    assert connection.read == 1


def test_an_address_that_is_used_again_does_not_inherit_an_identity() -> None:
    known = Peers()
    known.spiffe_ids(Connection("ipv4:10.0.0.1:4000", [ORDER], [ORDER]))

    assert not known.spiffe_ids(Connection("ipv4:10.0.0.1:4000", [b"stranger"], []))
    assert not known.spiffe_ids(Connection("ipv4:10.0.0.1:4000", [], []))


def test_names_of_another_kind_that_read_the_same_do_not_inherit_an_identity() -> None:
    known = Peers()
    known.spiffe_ids(Connection("ipv4:10.0.0.1:4000", [ORDER], [ORDER]))

    # A DNS name that says spiffe://...: gRPC tells it among the names, but not as an id.
    assert not known.spiffe_ids(Connection("ipv4:10.0.0.1:4001", [ORDER], []))


def test_nothing_is_remembered_for_long(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr("mesh.peers.time.monotonic", lambda: now)
    known, connection = Peers(), Connection("ipv6:%5B::1%5D:4000", [ORDER], [ORDER])
    known.spiffe_ids(connection)

    now += peers.REMEMBERED
    known.spiffe_ids(connection)

    assert connection.read == 2


def test_a_socket_of_the_file_system_is_never_remembered() -> None:
    known, connection = Peers(), Connection("unix:", [ORDER], [ORDER])

    known.spiffe_ids(connection)
    known.spiffe_ids(connection)

    assert connection.read == 2
