"""Finds what a service brings to the audit, by name: `services/<name>/audit.py`, where there is one."""

import importlib
import importlib.util
from typing import cast

from mesh.audit.facts import Examination


def examination_of(service: str) -> Examination | None:
    """What a service brings; None where it has nothing to say but what all have.

    Raises:
        LookupError: There is no such service.
    """
    if importlib.util.find_spec(f"services.{service}") is None:
        raise LookupError(f"there is no service {service}")
    if importlib.util.find_spec(f"services.{service}.audit") is None:
        return None
    return cast("Examination", importlib.import_module(f"services.{service}.audit"))
