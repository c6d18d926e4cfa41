"""A directory whose files change all at once: links into `..data`, itself a link to a version, swapped by one rename.

This is how Kubernetes projects secrets into a volume, and what Envoy's `watched_directory` waits for. Whoever reads
`..data` once and then its files never sees a certificate of one version with the key of another.
"""

import os
import shutil
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Final

DATA: Final = "..data"
_VERSION: Final = "..v"
_SWAP: Final = "..data_tmp"


def publish(directory: Path, files: Mapping[str, bytes]) -> None:
    """Replace the files of a directory, all at once.

    A crash at any line leaves the old files or the new ones, never a mixture. Afterwards the directory holds one link a
    file, so that `directory / name` is a path for ever.

    Args:
        directory: Made if it is not there. One with plain files is converted first, without changing what they say.
        files: Content by name; what is not among them goes away.
    """
    directory.mkdir(parents=True, exist_ok=True, mode=0o700)
    plain = [path for path in directory.glob("*.pem") if path.is_file() and not path.is_symlink()]
    if plain:
        # First as it was: while links replace plain files one by one, both must say the same.
        _switch(directory, {path.name: path.read_bytes() for path in directory.glob("*.pem") if path.is_file()})
    _switch(directory, files)


def is_projected(directory: Path) -> bool:
    """Return whether every file of a directory is a link into `..data`."""
    return (directory / DATA).is_symlink() and all(path.is_symlink() for path in directory.glob("*.pem"))


def _switch(directory: Path, files: Mapping[str, bytes]) -> None:
    version = Path(tempfile.mkdtemp(dir=directory, prefix=_VERSION))
    for name, content in files.items():
        _write(version / name, content)
    _sync(version)
    data = directory / DATA
    before = data.readlink().name if data.is_symlink() else ""
    _link(directory, _SWAP, version.name, DATA)
    for name in files:
        target = f"{DATA}/{name}"
        path = directory / name
        if not path.is_symlink() or str(path.readlink()) != target:
            _link(directory, f"{_SWAP}.{name}", target, name)
    for path in directory.glob("*.pem"):
        if path.is_symlink() and not path.exists():
            path.unlink()
    _sync(directory)
    for path in directory.glob(f"{_VERSION}*"):
        # The version before stays until the next change: somebody may be between reading its certificate and its key.
        if path.name not in {version.name, before}:
            shutil.rmtree(path)


def _link(directory: Path, temporary: str, target: str, name: str) -> None:
    path = directory / temporary
    path.unlink(missing_ok=True)
    path.symlink_to(target)
    path.replace(directory / name)


def _write(path: Path, content: bytes) -> None:
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as file:
        file.write(content)
        file.flush()
        os.fsync(file.fileno())


def _sync(directory: Path) -> None:
    descriptor = os.open(directory, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
