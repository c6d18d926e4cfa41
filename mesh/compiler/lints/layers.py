"""Lints on what was generated: of all layers that a call passes, one repeats it, and none counts time for gRPC.

A call from one workload to another passes the caller's channel or its sidecar (never both: the channel of a service
with a sidecar has no retries, `mesh.sidecar.plain_service_config`), then the sidecar of the callee. Under Istio it
passes the caller's channel and then the proxies. Repeating a repeat multiplies attempts just when there are too many.
"""

import json
from collections.abc import Iterator
from typing import Any, Final

import yaml

from mesh.compiler import Files
from mesh.compiler.lints.findings import Finding

UNTOUCHED: Final = frozenset({"connect-failure", "refused-stream", "reset-before-request"})
"""Envoy's causes for a repeat of what no process has seen: that is no second attempt."""

_RULE: Final = "double-retry"


def lint_emitted(files: Files) -> list[Finding]:
    """Holds what was generated against the rules that no single emitter can know.

    Args:
        files: as they go under `generated/`.

    Returns:
        The findings, by file.
    """
    retried = {
        path.removeprefix("grpc/").removesuffix(".json")
        for path, content in files.items()
        if path.startswith("grpc/") and "retryPolicy" in json.dumps(json.loads(content))
    }
    findings: list[Finding] = []
    for path, content in sorted(files.items()):
        if path.startswith("grpc/"):
            findings += _timeouts(path, json.loads(content))
        elif path.startswith("envoy/sidecars/"):
            findings += _inbound(path, _documents(content))
        elif path.startswith("istio/"):
            findings += _istio(path, _documents(content), retried)
    return findings


def _documents(content: bytes) -> list[Any]:
    # The C loader where there is one: a sidecar's file has some thousand lines.
    return list(yaml.load_all(content, Loader=getattr(yaml, "CSafeLoader", yaml.SafeLoader)))


def _timeouts(path: str, config: Any) -> Iterator[Finding]:
    for entry in config.get("methodConfig", ()):
        if "timeout" in entry:
            name = "/".join(entry["name"][0].values())
            problem, remedy = "gRPC's own timeout ends calls at once", "leave it to the channel's interceptor"
            yield Finding(f"generated/{path}", 0, name, "grpc-timeout", problem, remedy)


def _inbound(path: str, documents: list[Any]) -> Iterator[Finding]:
    for listener in _find(documents, "listeners"):
        for each in listener:
            if not str(each.get("name", "")).startswith("inbound"):
                continue
            for policy in _find(each, "retry_policy"):
                if repeated := sorted(set(policy.get("retry_on", "").split(",")) - UNTOUCHED):
                    problem = f"the callee's sidecar repeats calls ({', '.join(repeated)}), as its caller does already"
                    remedy = "repeat in the outbound listener only"
                    yield Finding(f"generated/{path}", 0, "inbound listener", _RULE, problem, remedy)


def _istio(path: str, documents: list[Any], retried: set[str]) -> Iterator[Finding]:
    for document in documents:
        if not document or document.get("kind") != "VirtualService":
            continue
        workload = document["metadata"]["name"]
        for route in document["spec"].get("http", ()):
            # Said or not: Istio repeats twice where nothing is said.
            if workload in retried and route.get("retries", {}).get("attempts", 2) > 0:
                problem = "Istio's proxies repeat calls of it, and so do the channels of its callers"
                yield Finding(f"generated/{path}", 0, workload, _RULE, problem, "say retries: {attempts: 0}")


def _find(node: Any, key: str) -> Iterator[Any]:
    """Every value of a key, however deep."""
    if isinstance(node, dict):
        for name, value in node.items():
            if name == key:
                yield value
            else:
                yield from _find(value, key)
    elif isinstance(node, list):
        for each in node:
            yield from _find(each, key)
