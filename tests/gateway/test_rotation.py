"""Certificates of the edge change while it runs: by a swapped directory or file by file, and no call fails of it."""

import asyncio
import ssl
from collections.abc import Callable
from contextlib import AsyncExitStack
from datetime import UTC, datetime, timedelta
from pathlib import Path
from shutil import copytree, ignore_patterns
from typing import Any
from urllib.parse import urlsplit

import pytest
from cryptography import x509

from cli.local.home import write_private
from cli.local.pki import EDGE_TLS, ensure_pki
from gateway.runtime import PORTAL
from tests.gateway.edges import Edge, start_edge, until
from tests.gateway.neighbours import Neighbour, policy, response_of
from tests.gateway.test_keys import LateNeighbour

pytestmark = pytest.mark.asyncio(loop_scope="session")

GET_ORDER = "/zoco.order.v1.OrderService/GetOrder"
NAMES = [*policy().workloads, PORTAL, "edge"]
SEEN_BY_OTHERS = ("edge", EDGE_TLS)


def _swapped(home: Path, _: Path) -> tuple[Path, Callable[[], None]]:
    return home, lambda: _renew(home)


def _file_by_file(home: Path, spare: Path) -> tuple[Path, Callable[[], None]]:
    copytree(home, spare, ignore=ignore_patterns("..*"))

    def renew() -> None:
        _renew(home)
        for name in SEEN_BY_OTHERS:
            for file in ("ca.pem", "key.pem", "cert.pem"):
                write_private(spare / name / file, (home / name / file).read_bytes())

    return spare, renew


def _renew(home: Path) -> None:
    assert set(ensure_pki(home, NAMES)) >= set(SEEN_BY_OTHERS)


@pytest.mark.parametrize("layout", [_swapped, _file_by_file])
async def test_new_connections_show_the_new_certificate_and_no_call_fails(tmp_path: Path, layout: Any) -> None:
    home = tmp_path / "pki"
    home.mkdir()
    ensure_pki(home, NAMES, now=datetime.now(UTC) - timedelta(days=25))  # past two thirds of their life
    pki, renew = layout(home, tmp_path / "plain")
    assert not any(path.is_symlink() for path in pki.rglob("*")) or layout is _swapped
    old = {name: _serial((pki / name / "cert.pem").read_bytes()) for name in SEEN_BY_OTHERS}
    first, second = Neighbour("order", pki / "order"), LateNeighbour("order", pki / "order")
    shown = {each.workload + str(number): set[int]() for number, each in enumerate((first, second))}
    for process, seen in zip((first, second), shown.values(), strict=True):
        process.answers[GET_ORDER] = _noting(seen)
    async with AsyncExitStack() as stack:
        edge = await start_edge(stack, pki, tmp_path, instead={"order": first}, also={"order": second}, signed_in=True)

        async def served() -> bool:
            return (await edge.rest("GET", "/v1/orders/o1")).status_code == 200

        await until(served, "the first process is found")
        assert await _public_serial(edge) == old[EDGE_TLS]
        statuses: list[int] = []
        stop = asyncio.Event()
        calls = asyncio.create_task(_call_on(edge, statuses, stop))
        renew()
        new = {name: _serial((pki / name / "cert.pem").read_bytes()) for name in SEEN_BY_OTHERS}
        assert not set(new.values()) & set(old.values())

        async def loaded() -> bool:
            certificates = (await edge.client.get(f"{edge.admin}/certs")).text
            return format(new["edge"], "x") in certificates and await _public_serial(edge) == new[EDGE_TLS]

        await until(loaded, "Envoy has read the new files", seconds=20)
        await second.start()

        async def called() -> bool:
            return bool(shown["order1"])

        await until(called, "the second process is called", seconds=20)
        stop.set()
        await calls
        assert set(statuses) == {200}
        assert shown["order1"] == {new["edge"]}


async def _call_on(edge: Edge, statuses: list[int], stop: asyncio.Event) -> None:
    while not stop.is_set():
        statuses.append((await edge.rest("GET", "/v1/orders/o1")).status_code)
        await asyncio.sleep(0.01)


def _noting(seen: set[int]) -> Any:
    async def answer(_: Any, context: Any) -> Any:
        seen.add(_serial(context.auth_context()["x509_pem_cert"][0]))
        return response_of(GET_ORDER)

    return answer


def _serial(pem: bytes) -> int:
    return x509.load_pem_x509_certificate(pem).serial_number


async def _public_serial(edge: Edge) -> int:
    """Give what a browser is shown now."""
    place = urlsplit(edge.tls_url)
    trust = ssl.create_default_context(cafile=edge.authority)
    _, writer = await asyncio.open_connection("127.0.0.1", place.port, ssl=trust, server_hostname="localhost")
    der = writer.get_extra_info("ssl_object").getpeercert(binary_form=True)
    writer.transport.abort()
    return x509.load_der_x509_certificate(der).serial_number
