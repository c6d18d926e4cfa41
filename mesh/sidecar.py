"""A service behind an Envoy of its own (ZOCO_MESH=envoy): who is who between the two, and what is believed.

Service and sidecar know each other by certificates of an inner authority that signs nobody else. The sidecar has the
workload's certificate; the service never sees it. Who calls is told by the sidecar in `x-forwarded-client-cert`, which
it sets itself from the certificate that it checked, whatever the caller sent.
"""

import json
import re
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from mesh.peers import Peers
from mesh.settings import TRUST_DOMAIN

if TYPE_CHECKING:  # the command line needs the names in here, and should not wait for the pipeline
    from mesh.pipeline.exchange import Identify

SERVICE: Final = "service"
"""The service's name inside: it listens to nothing but its sidecar."""

SIDECAR: Final = "sidecar"
"""The sidecar's name inside; the service calls its neighbours through it."""

FORWARDED: Final = "x-forwarded-client-cert"
"""Where Envoy says whose certificate it has seen."""


def inner_id(workload: str, part: str) -> str:
    """The SPIFFE id of one of the two, which no workload of the mesh can have.

    Args:
        workload: Whose.
        part: `service` or `sidecar`.
    """
    return f"spiffe://{TRUST_DOMAIN}/{workload}/{part}"


def workload_behind(workload: str) -> "Identify":
    """Gives what tells the pipeline of a service who calls: the word of its own sidecar, and nobody else's.

    Args:
        workload: The service's own name.
    """
    sidecar = inner_id(workload, SIDECAR).encode()
    # As Envoy writes it with SANITIZE_SET. Several callers, or a caller with several names, do not match.
    element = re.compile(
        rf"By=spiffe://{re.escape(TRUST_DOMAIN)}/{re.escape(workload)};Hash=[0-9a-f]{{64}};"
        rf"URI=spiffe://{re.escape(TRUST_DOMAIN)}/(?P<caller>[a-z][a-z0-9-]*)"
    )
    is_sidecar = Peers(lambda ids: sidecar in ids)

    def identify(context: Any, metadata: Mapping[str, str]) -> str | None:
        if not is_sidecar.of(context):
            return None
        match = element.fullmatch(metadata.get(FORWARDED, ""))
        return match["caller"] if match else None

    return identify


def plain_service_config() -> str:
    """The gRPC service config of a channel to one's own sidecar: it watches, balances and repeats, so gRPC must not."""
    return json.dumps({"loadBalancingConfig": [{"pick_first": {}}]})
