"""How old versions of stored events become today's. One function a step; it is never changed again.

Version 1 of a cancellation and of a refund left to the metadata who wanted it. Metadata is what an auditor reads; no
state is made of it. So an order could not tell its buyer's change of mind from the shop's, and where the saga wrote a
refund down, "order" stood there instead of whoever had called the order off.
"""

from typing import Final

from mesh.data.upcasting import Metadata, Upcasters
from zoco.order.storage.v1 import events_pb2 as v1
from zoco.order.storage.v2 import events_pb2 as v2

SAGA: Final = "order"
"""Who did it, in the metadata of what the saga wrote: no person."""


def upcasters() -> Upcasters:
    """All steps there are."""
    steps = Upcasters()
    steps.step(v1.CancellationRequested, _cancellation_requested)
    steps.step(v1.RefundRequested, _refund_requested)
    return steps


def _cancellation_requested(old: v1.CancellationRequested, metadata: Metadata) -> v2.CancellationRequested:
    return v2.CancellationRequested(reason=old.reason, requested_by=_person(metadata))


def _refund_requested(old: v1.RefundRequested, metadata: Metadata) -> v2.RefundRequested:
    return v2.RefundRequested(
        refund_id=old.refund_id,
        number=old.number,
        amount=old.amount,
        reason=old.reason,
        cause=v2.RefundRequested.Cause.Value(v1.RefundRequested.Cause.Name(old.cause)),
        requested_by=_person(metadata),
    )


def _person(metadata: Metadata) -> str:
    actor = str(metadata.get("actor", ""))
    return "" if actor == SAGA else actor
