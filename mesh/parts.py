"""Finds by name what a service brings to work that the mesh does for all: its audit, its rebuilding."""

import importlib
import importlib.util
from types import ModuleType


def part_of(service: str, part: str) -> ModuleType | None:
    """The module `services.<service>.<part>`; None where the service has none.

    Raises:
        LookupError: There is no such service.
    """
    if importlib.util.find_spec(f"services.{service}") is None:
        raise LookupError(f"there is no service {service}")
    name = f"services.{service}.{part}"
    return None if importlib.util.find_spec(name) is None else importlib.import_module(name)
