"""The shapes that every Kubernetes document repeats: names, labels, ports, and how documents become text."""

from collections.abc import Iterable
from typing import Any, Final, TypeAlias

import yaml

Manifest: TypeAlias = dict[str, Any]
"""A Kubernetes object, or a part of one, as plain data."""

NAMESPACE: Final = "zoco"
"""Where the shop runs. Istio's identities name it, so that it is no free choice of an installation."""

GRPC_PORT: Final = 50051
METRICS_PORT: Final = 9101
PAGE_PORT: Final = 8080
EDGE_PORTS: Final = {"http": 8080, "https": 8443}
POSTGRES_PORT: Final = 5432
NATS_PORT: Final = 4222
DNS_PORT: Final = 53

NAME: Final = "app.kubernetes.io/name"
PART_OF: Final = "app.kubernetes.io/part-of"


def manifest(api: str, kind: str, name: str, spec: Manifest) -> Manifest:
    """Gives an object of our namespace."""
    metadata = {"name": name, "namespace": NAMESPACE, "labels": {PART_OF: NAMESPACE}}
    return {"apiVersion": api, "kind": kind, "metadata": metadata, "spec": spec}


def labels(workload: str) -> Manifest:
    """Gives the labels that the pods of a workload carry."""
    return {NAME: workload, PART_OF: NAMESPACE}


def dump(title: str, documents: Iterable[Manifest]) -> bytes:
    """Writes documents as one YAML stream; the same documents give the same bytes."""
    text = yaml.dump_all(documents, Dumper=_Plain, sort_keys=False, width=140, explicit_start=True, allow_unicode=True)
    return f"# {title} Generated from protos/ by `make gen`. Do not edit.\n{text}".encode()


class _Plain(yaml.SafeDumper):
    """Writes what appears twice twice: anchors save lines, and cost whoever reads a manifest."""

    def ignore_aliases(self, data: Any) -> bool:  # noqa: ARG002 - PyYAML's signature
        return True
