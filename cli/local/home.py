"""The layout of `.zoco/`, where everything local lives, and the safe writing of its files."""

import os
import shutil
import tempfile
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path

from cli.failures import Failure

_LONGEST_SOCKET_PATH = 100  # sun_path holds 104 bytes on macOS and 108 on Linux
_LEAST_FREE_BYTES = 256 * 1024 * 1024


@dataclass(frozen=True)
class Home:
    """Paths under one home directory."""

    root: Path

    @property
    def data(self) -> Path:
        """What must survive: the database, the broker's streams."""
        return self.root / "data"

    @property
    def postgres(self) -> Path:
        """PostgreSQL's data directory."""
        return self.data / "postgres"

    @property
    def nats(self) -> Path:
        """JetStream's store."""
        return self.data / "nats"

    @property
    def logs(self) -> Path:
        """One log file a process."""
        return self.root / "logs"

    @property
    def pki(self) -> Path:
        """Certificates and keys."""
        return self.root / "pki"

    @property
    def mail(self) -> Path:
        """E-mail that would have been sent."""
        return self.root / "mail"

    @property
    def config(self) -> Path:
        """Rendered configuration of NATS and Envoy."""
        return self.root / "config"

    @property
    def run_file(self) -> Path:
        """What runs, and on which ports."""
        return self.root / "run.json"

    @property
    def lock_file(self) -> Path:
        """Held by the supervisor."""
        return self.root / "lock"

    @property
    def credentials_file(self) -> Path:
        """The first administrator's e-mail and password."""
        return self.root / "credentials.json"

    @property
    def secrets_file(self) -> Path:
        """Passwords of the database roles and of the broker."""
        return self.root / "secrets.json"

    @property
    def seeded_file(self) -> Path:
        """Exists once the sample catalog is loaded."""
        return self.data / "catalog-loaded"

    @property
    def control_socket(self) -> Path:
        """Where the supervisor answers."""
        return self._socket("control")

    @property
    def keys_socket(self) -> Path:
        """Where the edge asks itself for the keys of tokens."""
        return self._socket("token-keys")

    def _socket(self, name: str) -> Path:
        """Return a socket's path; outside the home if it were too long there."""
        inside = self.root / f"{name}.sock"
        if len(os.fsencode(inside)) <= _LONGEST_SOCKET_PATH:
            return inside
        home = sha256(os.fsencode(self.root)).hexdigest()[:16]
        return Path(tempfile.gettempdir()) / f"zoco-{os.getuid()}-{home}-{name}.sock"

    def log(self, process: str) -> Path:
        """Return the log file of `process`."""
        return self.logs / f"{process}.log"

    def create(self) -> None:
        """Make the directories.

        Raises:
            Failure: the disk is nearly full, or the place cannot be written.
        """
        # Others may pass through (PostgreSQL has an account of its own when we are root) but not look around.
        try:
            for directory in (self.root, self.data):
                directory.mkdir(parents=True, exist_ok=True, mode=0o711)
            for directory in (self.logs, self.pki, self.mail, self.config, self.nats):
                directory.mkdir(exist_ok=True, mode=0o700)
        except OSError as error:
            raise Failure(f"{error.filename} cannot be created: {error.strerror}; ZOCO_HOME moves it.") from None
        free = shutil.disk_usage(self.root).free
        if free < _LEAST_FREE_BYTES:
            raise Failure(
                f"There is no disk space left for {self.root}: {free // 2**20} MB are free and "
                f"{_LEAST_FREE_BYTES // 2**20} MB are needed; free some, or move it with ZOCO_HOME."
            )

    def delete(self) -> None:
        """Delete what this program made under the home, and nothing that somebody else put there."""
        for directory in (self.data, self.logs, self.pki, self.mail, self.config):
            shutil.rmtree(directory, ignore_errors=False) if directory.exists() else None
        sockets = self.control_socket, self.keys_socket
        for file in (self.run_file, self.credentials_file, self.secrets_file, *sockets, self.lock_file):
            file.unlink(missing_ok=True)
        if self.root.is_dir() and not any(self.root.iterdir()):
            self.root.rmdir()


def write_private(path: Path, content: str | bytes) -> None:
    """Write a file that only its owner can read, whole or not at all: a crash leaves the old one."""
    data = content.encode() if isinstance(content, str) else content
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")  # mkstemp makes it 0600
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
