"""Which services there are: what the contract says, in a fixed order."""

from collections.abc import Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

from google.protobuf.message import DecodeError

from cli.failures import Failure
from cli.local.settings import PROJECT
from mesh.bus.contract import EventContract, load_events
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
    with _readable(path):
        return ordered(load_policy(path).workloads)


def events(path: Path = DESCRIPTORS) -> EventContract:
    """Return what the contracts in the descriptor set at `path` say about events. Raises as `workloads`."""
    with _readable(path):
        return load_events(path)


def runnable(names: Sequence[str], services: Path = PROJECT / "services") -> list[str]:
    """Return those workloads that a program stands behind, in the same order."""
    return [name for name in names if (services / name / "__main__.py").is_file()]


@contextmanager
def _readable(path: Path) -> Iterator[None]:
    try:
        yield
    except FileNotFoundError:
        raise Failure(f"{path} is missing; `make gen` makes it.") from None
    except (DecodeError, PolicyError) as error:
        raise Failure(f"{path} cannot be used ({error}); `make gen` makes it anew.") from None
