"""Of all layers that a call passes, one repeats it: what was generated is held to that."""

import json
from pathlib import Path

import yaml

from mesh.compiler import Files
from mesh.compiler.lints import lint_emitted
from mesh.policy import DESCRIPTORS
from mesh.sidecar import plain_service_config

GENERATED = DESCRIPTORS.parent
RETRIED = {"name": [{"service": "stock.v1.StockService", "method": "Count"}], "retryPolicy": {"maxAttempts": 3}}


def said(**files: object) -> list[str]:
    """The findings on some generated files; `__` in a name stands for a slash, `_yaml` and `_json` for the suffix."""
    emitted: dict[str, bytes] = {}
    for name, content in files.items():
        stem, _, suffix = name.replace("__", "/").rpartition("_")
        emitted[f"{stem}.{suffix}"] = (json.dumps if suffix == "json" else yaml.safe_dump)(content).encode()
    return [str(each) for each in lint_emitted(emitted)]


def sidecar(listener: str, retry_on: str) -> object:
    return {
        "static_resources": {"listeners": [{"name": listener, "routes": [{"retry_policy": {"retry_on": retry_on}}]}]}
    }


def virtual_service(**route: object) -> object:
    return {"kind": "VirtualService", "metadata": {"name": "stock"}, "spec": {"http": [route]}}


def test_what_is_generated_repeats_a_call_in_one_layer() -> None:
    files: Files = {
        path.relative_to(GENERATED).as_posix(): path.read_bytes()
        for folder in ("grpc", "envoy", "istio")
        for path in sorted((GENERATED / folder).rglob("*"))
        if path.is_file()
    }
    assert {Path(path).parts[0] for path in files} == {"grpc", "envoy", "istio"}
    assert lint_emitted(files) == []


def test_a_callees_sidecar_repeats_nothing_that_a_process_has_seen() -> None:
    assert said(envoy__sidecars__stock_yaml=sidecar("inbound", "connect-failure,unavailable,reset")) == [
        (
            "generated/envoy/sidecars/stock.yaml: inbound listener: the callee's sidecar repeats calls (reset, "
            "unavailable), as its caller does already; repeat in the outbound listener only [double-retry]"
        )
    ]
    assert said(envoy__sidecars__stock_yaml=sidecar("inbound", "connect-failure,reset-before-request")) == []
    assert said(envoy__sidecars__stock_yaml=sidecar("outbound", "unavailable")) == []


def test_istio_repeats_nothing_that_channels_repeat() -> None:
    retried = {"methodConfig": [RETRIED]}
    plain: dict[str, list[object]] = {"methodConfig": []}
    finding = [
        (
            "generated/istio/virtual.yaml: stock: Istio's proxies repeat calls of it, and so do the channels of its "
            "callers; say retries: {attempts: 0} [double-retry]"
        )
    ]
    assert said(grpc__stock_json=retried, istio__virtual_yaml=virtual_service()) == finding
    assert said(grpc__stock_json=retried, istio__virtual_yaml=virtual_service(retries={"attempts": 3})) == finding
    assert said(grpc__stock_json=retried, istio__virtual_yaml=virtual_service(retries={"attempts": 0})) == []
    assert said(grpc__stock_json=plain, istio__virtual_yaml=virtual_service()) == []


def test_a_channel_to_the_own_sidecar_repeats_nothing() -> None:
    assert "retry" not in plain_service_config().lower()


def test_no_service_config_has_a_timeout() -> None:
    assert said(grpc__stock_json={"methodConfig": [{**RETRIED, "timeout": "1s"}]}) == [
        (
            "generated/grpc/stock.json: stock.v1.StockService/Count: gRPC's own timeout ends calls at once; leave "
            "it to the channel's interceptor [grpc-timeout]"
        )
    ]
