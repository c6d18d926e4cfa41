"""Finds what a service brings to the audit: `services/<name>/audit.py`, where there is one."""

from typing import cast

from mesh.audit.facts import Examination
from mesh.parts import part_of


def examination_of(service: str) -> Examination | None:
    """What a service brings; None where it has nothing to say but what all have.

    Raises:
        LookupError: There is no such service.
    """
    return cast("Examination | None", part_of(service, "audit"))
