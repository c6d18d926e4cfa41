"""Which services there are: what the contract says, in a fixed order."""

from collections.abc import Iterable, Sequence
from pathlib import Path

from google.protobuf.message import DecodeError

from cli.failures import Failure
from cli.local.settings import PROJECT
from mesh.policy import DESCRIPTORS, PolicyError, load_policy

# The order of contract.md, and so of the ports. What is added later follows in the order of the alphabet.
_ORDER = ("user", "product", "inventory", "order", "payment", "notification", "analytics")


def ordered(names: Iterable[str]) -> list[str]:
    """Return workload names in the order in which they get their ports."""
    given = set(names)
    return [name for name in _ORDER if name in given] + sorted(given - set(_ORDER))


def workloads(path: Path = DESCRIPTORS) -> list[str]:
    """Return the workloads that the contracts in the descriptor set at `path` name.

    Raises:
        Failure: there is no descriptor set, or it cannot be read.
    """
    try:
        return ordered(load_policy(path).workloads)
    except FileNotFoundError:
        raise Failure(f"{path} is missing; `make gen` makes it.") from None
    except (DecodeError, PolicyError) as error:
        raise Failure(f"{path} cannot be used ({error}); `make gen` makes it anew.") from None


def runnable(names: Sequence[str], services: Path = PROJECT / "services") -> list[str]:
    """Return those workloads that a program stands behind, in the same order."""
    return [name for name in names if (services / name / "__main__.py").is_file()]
