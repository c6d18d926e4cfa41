"""The shop through the real grpcurl, as a person debugs with it. `make tools` puts it under .tools/bin."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

from tests.journeys.running import PROJECT, RunningShop

SERVICES = {
    "zoco.analytics.v1.AnalyticsService",
    "zoco.inventory.v1.InventoryService",
    "zoco.notification.v1.NotificationService",
    "zoco.order.v1.OrderService",
    "zoco.payment.v1.PaymentService",
    "zoco.product.v1.ProductService",
    "zoco.user.v1.AuthService",
    "zoco.user.v1.UserService",
}


@pytest.fixture(scope="session")
def grpcurl() -> str:
    found = shutil.which("grpcurl", path=str(PROJECT / ".tools" / "bin")) or shutil.which("grpcurl")
    if found is None:
        pytest.skip("grpcurl is not here; `make tools` installs it")
    return found


def _run(grpcurl: str, *arguments: str) -> str:
    done = subprocess.run([grpcurl, *arguments], capture_output=True, text=True, timeout=30, check=False)
    assert done.returncode == 0, done.stderr
    return done.stdout


def test_it_lists_the_public_services_through_the_edge(shop: RunningShop, grpcurl: str) -> None:
    listed = set(_run(grpcurl, "-plaintext", shop.address, "list").split())

    assert listed >= SERVICES


def test_it_describes_a_method_but_none_that_is_internal(shop: RunningShop, grpcurl: str) -> None:
    described = _run(grpcurl, "-plaintext", shop.address, "describe", "zoco.payment.v1.PaymentService")

    assert "rpc GetPayment" in described
    assert "rpc Capture" not in described
    method = _run(grpcurl, "-plaintext", shop.address, "describe", "zoco.order.v1.OrderService.CreateOrder")
    assert "rpc CreateOrder" in method


def test_it_calls_a_method_by_what_reflection_told_it(shop: RunningShop, grpcurl: str) -> None:
    answer = _run(
        grpcurl, "-plaintext", "-d", '{"page_size": 3}', shop.address, "zoco.product.v1.ProductService/ListProducts"
    )

    assert len(json.loads(answer)["products"]) == 3


def test_an_operator_reaches_a_services_own_reflection_and_health(shop: RunningShop, grpcurl: str) -> None:
    operator = shop.home / "pki" / "operator"
    port = shop.port("payment")

    def inside(identity: Path, *arguments: str) -> tuple[str, ...]:
        files = ("-cacert", identity / "ca.pem", "-cert", identity / "cert.pem", "-key", identity / "key.pem")
        return (*map(str, files), "-authority", "payment", *arguments)

    listed = _run(grpcurl, *inside(operator, f"127.0.0.1:{port}", "list")).split()
    health = _run(grpcurl, *inside(operator, f"127.0.0.1:{port}", "grpc.health.v1.Health/Check"))

    assert {"zoco.payment.v1.PaymentService", "grpc.channelz.v1.Channelz"} <= set(listed)
    assert json.loads(health)["status"] == "SERVING"
    refused = subprocess.run(
        [grpcurl, *inside(shop.home / "pki" / "notification", f"127.0.0.1:{port}", "list")],
        capture_output=True,
        text=True,
        timeout=30,
        check=False,
    )
    assert refused.returncode != 0
