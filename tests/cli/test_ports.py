"""Who gets which port, and what is said when one is taken."""

import os
import socket
from collections.abc import Iterator

import pytest

from cli.failures import Failure, PortTaken
from cli.local.portcheck import is_free
from cli.local.ports import Ports, plan, slots
from cli.local.reservation import Reservation, every_port
from cli.local.settings import LocalSettings, read_settings
from tests.ports import free_edge_port, free_port

SHOP = ["user", "product", "inventory", "order", "payment", "notification", "analytics"]


def settings(monkeypatch: pytest.MonkeyPatch, **variables: str) -> LocalSettings:
    for name in [name for name in os.environ if name.startswith("ZOCO_") or name == "MESH"]:
        monkeypatch.delenv(name)
    for name, value in variables.items():
        monkeypatch.setenv(name, value)
    return LocalSettings()


def planned(given: LocalSettings, previous: Ports | None = None) -> Ports:
    return plan(given, slots(SHOP, given.replicas), previous, database=True, broker=True)


@pytest.fixture
def listener() -> Iterator[socket.socket]:
    with socket.socket() as taken:
        taken.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        yield taken


def test_places_follow_the_order_of_the_contract() -> None:
    assert {slot.process: slot.place for slot in slots(SHOP, {})} == {
        **{name: place for place, name in enumerate(SHOP)},
        "portal": 7,
    }


def test_a_new_service_and_further_processes_move_nobody() -> None:
    places = {slot.process: slot.place for slot in slots([*SHOP, "loyalty"], {"product": 3, "order": 2})}
    assert {name: places[name] for name in (*SHOP, "portal")} == {slot.process: slot.place for slot in slots(SHOP, {})}
    assert {name: places[name] for name in ("loyalty", "product.2", "product.3", "order.2")} == {
        "loyalty": 9,
        "product.2": 10,
        "product.3": 11,
        "order.2": 12,
    }


def test_replicas_of_an_unknown_service_are_refused() -> None:
    with pytest.raises(Failure, match=r"ZOCO_REPLICAS names shop, but the services are user, product"):
        slots(SHOP, {"shop": 2})


def test_a_taken_edge_port_is_told_with_program_pid_and_variable(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    port = listener.getsockname()[1]
    with pytest.raises(
        PortTaken, match=rf"^Port {port} for the edge is taken by .+ \(pid {os.getpid()}\); set ZOCO_EDGE_PORT"
    ):
        planned(settings(monkeypatch, ZOCO_EDGE_PORT=str(port), ZOCO_EDGE_TLS_PORT="1"))


def test_the_tls_port_keeps_its_distance_from_the_edge(monkeypatch: pytest.MonkeyPatch) -> None:
    edge, other = free_edge_port(), free_edge_port()
    assert planned(settings(monkeypatch, ZOCO_EDGE_PORT=str(edge))).edge_tls == edge + 363
    given = settings(monkeypatch, ZOCO_EDGE_PORT=str(edge), ZOCO_EDGE_TLS_PORT=str(other))
    assert planned(given).edge_tls == other


def test_a_tls_port_that_only_followed_the_edge_gives_way(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    edge = free_edge_port()
    with socket.create_server(("127.0.0.1", edge + 363)):
        assert planned(settings(monkeypatch, ZOCO_EDGE_PORT=str(edge))).edge_tls > edge + 363
        given = settings(monkeypatch, ZOCO_EDGE_PORT=str(edge), ZOCO_EDGE_TLS_PORT=str(edge + 363))
        with pytest.raises(PortTaken, match="set ZOCO_EDGE_TLS_PORT to move ours"):
            planned(given)


def test_a_connection_out_of_a_port_is_no_listener_and_takes_it_all_the_same(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    with socket.create_connection(listener.getsockname()) as client:
        port = client.getsockname()[1]
        with pytest.raises(PortTaken, match=rf"is taken by .+ \(pid {os.getpid()}\)"):
            planned(settings(monkeypatch, ZOCO_EDGE_PORT=str(port)))


def test_a_moved_edge_moves_blocks_that_are_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(monkeypatch, ZOCO_EDGE_PORT=str(free_edge_port()))
    first = planned(given)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", first.services["order"]))
        taken.listen()
        second = planned(given)
    assert second.services["user"] - first.services["user"] >= 20
    assert {name: port - second.services["user"] for name, port in second.services.items()} == {
        name: port - first.services["user"] for name, port in first.services.items()
    }
    assert second.metrics == first.metrics


def test_a_block_that_was_asked_for_does_not_move(monkeypatch: pytest.MonkeyPatch, listener: socket.socket) -> None:
    base = listener.getsockname()[1]  # the first that is looked at: nobody knows who has the ones below it
    given = settings(monkeypatch, ZOCO_EDGE_PORT=str(free_edge_port()), ZOCO_SERVICES_PORT=str(base))
    with pytest.raises(PortTaken, match=rf"Port {base} for the services is taken by .* set ZOCO_SERVICES_PORT"):
        planned(given)


@pytest.mark.parametrize("distance", [0, 363])
def test_blocks_keep_clear_of_a_moved_edge(monkeypatch: pytest.MonkeyPatch, distance: int) -> None:
    """Whoever moves the edge to 50053, or to 363 below it, has the services moved out of its way."""
    elsewhere = planned(settings(monkeypatch, ZOCO_EDGE_PORT=str(free_edge_port())))
    edge = next(port - distance for port in elsewhere.services.values() if is_free(port - distance))
    given = settings(monkeypatch, ZOCO_EDGE_PORT=str(edge))
    ports = planned(given)
    assert len(set(every_port(ports))) == len(every_port(ports))
    assert ports.edge_tls == ports.edge + 363
    assert planned(given, elsewhere).services == ports.services, "nor is a block kept that the edge stands in now"


@pytest.mark.parametrize(
    ("asked", "refused"),
    [
        ({"ZOCO_EDGE_TLS_PORT": "{edge}"}, "the edge's TLS is asked for twice; set ZOCO_EDGE_TLS_PORT"),
        ({"ZOCO_SERVICES_PORT": "{edge}"}, "the services is asked for twice; set ZOCO_SERVICES_PORT"),
        ({"ZOCO_METRICS_PORT": "{edge}"}, "the metrics is asked for twice; set ZOCO_METRICS_PORT"),
    ],
)
def test_a_port_that_is_asked_for_twice_is_refused(
    monkeypatch: pytest.MonkeyPatch, asked: dict[str, str], refused: str
) -> None:
    edge = free_edge_port()
    variables = {name: value.format(edge=edge) for name, value in asked.items()}
    with pytest.raises(PortTaken, match=f"^Port {edge} for {refused}"):
        planned(settings(monkeypatch, ZOCO_EDGE_PORT=str(edge), **variables))


def test_a_port_that_another_shop_has_claimed_is_not_free() -> None:
    port = free_port()
    ours = Reservation([port])
    assert not is_free(port)
    with pytest.raises(PortTaken, match=f"Port {port} was just taken by another shop"):
        Reservation([port])
    ours.close()
    assert is_free(port)


def test_two_shops_that_start_together_get_different_blocks(monkeypatch: pytest.MonkeyPatch) -> None:
    first = planned(settings(monkeypatch, ZOCO_EDGE_PORT=str(free_edge_port())))
    claims = Reservation(every_port(first))
    second = planned(settings(monkeypatch, ZOCO_EDGE_PORT=str(free_edge_port())))
    assert not set(every_port(first)) & set(every_port(second))
    claims.close()


def test_ports_of_the_last_start_are_kept(monkeypatch: pytest.MonkeyPatch) -> None:
    given = settings(monkeypatch, ZOCO_EDGE_PORT=str(free_edge_port()))
    first = planned(given)
    assert planned(given, first) == first


def test_a_chosen_port_that_was_taken_meanwhile_is_chosen_anew(
    monkeypatch: pytest.MonkeyPatch, listener: socket.socket
) -> None:
    given = settings(monkeypatch, ZOCO_EDGE_PORT=str(free_edge_port()))
    taken = listener.getsockname()[1]
    previous = Ports(1, 2, 3, 9109, {}, {}, taken, taken, taken)
    chosen = planned(given, previous)
    assert len({chosen.postgres, chosen.nats, chosen.nats_monitor, chosen.edge_admin, taken}) == 5


def test_a_connection_that_was_just_closed_does_not_take_a_port(listener: socket.socket) -> None:
    port = listener.getsockname()[1]
    client = socket.create_connection(("127.0.0.1", port))
    accepted, _ = listener.accept()
    accepted.close()  # the side that closes first stays in TIME_WAIT
    client.close()
    assert not is_free(port)
    listener.close()
    assert is_free(port)


def test_only_a_mesh_of_sidecars_has_ports_inside_and_keeps_them(monkeypatch: pytest.MonkeyPatch) -> None:
    edge = str(free_edge_port())
    without = planned(settings(monkeypatch, ZOCO_EDGE_PORT=edge, MESH="inprocess"))
    assert (without.inner, without.outbound, without.sidecar_admin) == ({}, {}, {})

    given = settings(monkeypatch, ZOCO_EDGE_PORT=edge, MESH="envoy", ZOCO_REPLICAS="order=2")
    ports = planned(given, without)
    inside = [*ports.inner.values(), *ports.outbound.values(), *ports.sidecar_admin.values()]
    assert ports.inner.keys() == ports.outbound.keys() == ports.sidecar_admin.keys() == {*SHOP, "order.2"}
    assert len({*inside, *ports.services.values()}) == 3 * 8 + 9
    assert set(inside) < set(every_port(ports))
    assert planned(given, ports) == ports


def test_a_mesh_that_there_is_not_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MESH", "linkerd")

    with pytest.raises(Failure, match=r"^MESH cannot be used: Input should be 'inprocess' or 'envoy'\.$"):
        read_settings()
