"""Identities between a service and its sidecar: an authority a workload, made at each start, whose key nobody keeps.

.zoco/pki/<workload>/inner/service/{cert,key,ca}.pem
.zoco/pki/<workload>/inner/sidecar/{cert,key,ca}.pem
"""

from collections.abc import Iterable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Final

from cli.local.certificates import certificate_pem, new_authority, new_leaf
from cli.local.pki import files_of
from cli.local.projection import publish
from mesh.sidecar import SERVICE, SIDECAR

LIFE: Final = timedelta(days=365)
"""Of the certificates: longer than any run of one machine."""


def inner_directory(directory: Path, workload: str, part: str) -> Path:
    """Return where an inner identity stands.

    Args:
        directory: `.zoco/pki`.
        workload: whose.
        part: `service` or `sidecar`.
    """
    return directory / workload / "inner" / part


def issue_inner(directory: Path, workloads: Iterable[str], *, now: datetime | None = None) -> None:
    """Give every workload's service and sidecar identities that only the two of them trust.

    The authority's key is forgotten when both are signed: nothing on disk can make a third.

    Args:
        directory: `.zoco/pki`.
        workloads: those with a sidecar.
        now: the time, for tests.
    """
    moment = now or datetime.now(UTC)
    for workload in workloads:
        authority = new_authority(moment)
        for part in (SERVICE, SIDECAR):
            leaf = new_leaf(workload, authority, moment, life=LIFE, part=part)
            publish(inner_directory(directory, workload, part), files_of(leaf, certificate_pem(authority.certificate)))
