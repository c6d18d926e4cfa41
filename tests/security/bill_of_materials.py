"""What the shop is made of besides its own code: names, versions and licences, out of the lock and what is installed.

`python -m tests.security.bill_of_materials` writes it anew after a change of requirements/.
"""

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from importlib.metadata import Distribution, PackageNotFoundError, distribution
from pathlib import Path

from packaging.markers import Marker

ROOT = Path(__file__).parents[2]
LOCKS = sorted((ROOT / "requirements").glob("*.txt"))
LISTED = ROOT / "docs" / "licences.md"

_PIN = re.compile(r"^(?P<name>[A-Za-z0-9._-]+)(\[[^\]]*\])?==(?P<version>[^ ;\\]+)( *; *(?P<marker>[^\\]+?))? *\\?$")
_TROVE = "License :: OSI Approved :: "


@dataclass(frozen=True)
class Pin:
    """One line of a lock with its hashes."""

    name: str
    version: str
    marker: str
    hashes: tuple[str, ...]

    @property
    def applies(self) -> bool:
        """Whether it is meant for this platform and Python."""
        return not self.marker or Marker(self.marker).evaluate()


def read_lock(path: Path) -> list[Pin]:
    """The pins of a lock.

    Raises:
        ValueError: a line is neither a pin nor a hash.
    """
    pins: list[Pin] = []
    for line in path.read_text(encoding="utf-8").splitlines():
        bare = line.strip()
        if not bare or bare.startswith("#"):
            continue
        if bare.startswith("--hash="):
            last = pins.pop()
            found = (*last.hashes, bare.removeprefix("--hash=").rstrip(" \\"))
            pins.append(Pin(last.name, last.version, last.marker, found))
        elif match := _PIN.match(bare):
            pins.append(Pin(match["name"], match["version"], match["marker"] or "", ()))
        else:
            raise ValueError(f"{path.name}: {bare} is no pin")
    return pins


def installed(name: str) -> Distribution | None:
    """What is installed under a name."""
    try:
        return distribution(name)
    except PackageNotFoundError:
        return None


def licence(package: Distribution) -> str:
    """What a package's own metadata say of its licence: the SPDX expression, else the classifier, else the field."""
    metadata: Mapping[str, str] = package.metadata  # type: ignore[assignment]  # a message is read like a mapping
    if expression := metadata.get("License-Expression"):
        return expression
    classifiers = package.metadata.get_all("Classifier") or []
    named = [each.removeprefix(_TROVE) for each in classifiers if each.startswith(_TROVE)]
    return " AND ".join(sorted(named)) or (metadata.get("License") or "").splitlines()[0]


def listing() -> str:
    """The page of licences, for the packages that the shop runs with."""
    return "\n".join(_lines()) + "\n"


def _lines() -> Iterator[str]:
    yield "# Licences"
    yield ""
    yield "What the shop runs with on Linux, as requirements/runtime.txt pins it and each package's own metadata say."
    yield "Made by `python -m tests.security.bill_of_materials`; a test compares it with what is installed."
    yield ""
    yield "| package | version | licence |"
    yield "|---|---|---|"
    for pin in read_lock(ROOT / "requirements" / "runtime.txt"):
        package = installed(pin.name)
        if pin.applies and package is not None:
            yield f"| {pin.name} | {package.version} | {licence(package)} |"


if __name__ == "__main__":
    LISTED.write_text(listing(), encoding="utf-8")
