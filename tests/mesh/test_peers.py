"""Who is at the other end of a connection: read once a second, and never taken for another's."""

from collections.abc import Collection

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


def all_ids(ids: Collection[bytes]) -> tuple[bytes, ...]:
    return tuple(ids)


def test_the_certificate_of_a_connection_is_read_once_a_second() -> None:
    now = 1000.0
    peers = Peers(all_ids, clock=lambda: now)
    connection = Connection("ipv6:%5B::1%5D:4000", [ORDER], [ORDER])

    assert [peers.of(connection) for _ in range(3)] == [(ORDER,)] * 3
    assert connection.read == 1

    now += 1.0
    assert peers.of(connection) == (ORDER,)
    assert connection.read == 2


def test_an_address_that_is_used_again_does_not_inherit_an_identity() -> None:
    peers = Peers(all_ids)
    peers.of(Connection("ipv4:10.0.0.1:4000", [ORDER], [ORDER]))

    assert not peers.of(Connection("ipv4:10.0.0.1:4000", [b"stranger"], []))
    assert not peers.of(Connection("ipv4:10.0.0.1:4000", [], []))


def test_names_of_another_kind_that_read_the_same_do_not_inherit_an_identity() -> None:
    peers = Peers(all_ids)
    peers.of(Connection("ipv4:10.0.0.1:4000", [ORDER], [ORDER]))

    # A DNS name that says spiffe://...: gRPC tells it among the names, but not as an id.
    assert not peers.of(Connection("ipv4:10.0.0.1:4001", [ORDER], []))


def test_that_a_connection_has_no_id_is_remembered_like_one() -> None:
    peers, connection = Peers(all_ids), Connection("ipv4:10.0.0.1:4000", [], [])

    assert [peers.of(connection) for _ in range(3)] == [()] * 3
    assert connection.read == 1


def test_a_socket_of_the_file_system_is_never_remembered() -> None:
    peers, connection = Peers(all_ids), Connection("unix:", [ORDER], [ORDER])

    peers.of(connection)
    peers.of(connection)

    assert connection.read == 2
