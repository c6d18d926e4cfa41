"""A process's own certificate, key and trust, read again whenever the files change, and never half of them."""

import os
import threading
from dataclasses import dataclass
from datetime import datetime
from pathlib import Path
from typing import Final

import grpc
from cryptography import x509

from mesh.certificates import Fault, find_fault, fits, owner
from mesh.clock import Clock, utc_now
from mesh.logs import logger

CONNECTION_AGE_SECONDS: Final = 300
"""How long a connection takes new calls. Whoever has been dropped from the trusted ones is out by then."""

CONNECTION_GRACE_SECONDS: Final = 3600
"""How long calls of an old connection may go on: the longest life the contract gives a stream."""

CONNECTION_AGE: Final = (
    ("grpc.max_connection_age_ms", CONNECTION_AGE_SECONDS * 1000),
    ("grpc.max_connection_age_grace_ms", CONNECTION_GRACE_SECONDS * 1000),
)
"""Options of every server. The client is told first (GOAWAY) and opens another connection, so that no call is lost."""

_FILES: Final = ("cert.pem", "key.pem", "ca.pem")
_DATA: Final = "..data"

_Stamp = tuple[tuple[int, int, int], ...]

_log = logger("credentials")


class BadCredentials(Exception):
    """Files that cannot be used as an identity; the text says who, why and until when."""


@dataclass(frozen=True)
class Material:
    """A certificate, its key and the authorities to trust; PEM."""

    certificate: bytes
    key: bytes
    authorities: bytes
    leaf: x509.Certificate
    trusted: tuple[x509.Certificate, ...]

    @property
    def pem(self) -> tuple[bytes, bytes, bytes]:
        """What the files say."""
        return self.certificate, self.key, self.authorities

    def fault(self, who: str | None, now: datetime) -> Fault | None:
        """What is wrong with the certificate by now, None if nothing is."""
        return find_fault(self.leaf, trusted=self.trusted, who=who, now=now)

    def channel_credentials(self) -> grpc.ChannelCredentials:
        """For a client."""
        return grpc.ssl_channel_credentials(self.authorities, self.key, self.certificate)

    def server_configuration(self) -> grpc.ServerCertificateConfiguration:
        """For a server."""
        return grpc.ssl_server_certificate_configuration([(self.key, self.certificate)], self.authorities)


def read_material(directory: Path) -> Material:
    """Reads cert.pem, key.pem and ca.pem of one moment: `..data`, where they are links into it, is followed once.

    Raises:
        BadCredentials: A file is missing or cannot be understood, or the key is not that of the certificate.
    """
    try:
        certificate, key, authorities = _read_at_once(directory)
    except OSError as error:
        raise BadCredentials(f"{error.filename} cannot be read: {error.strerror}") from error
    try:
        leaf = x509.load_pem_x509_certificate(certificate)
        trusted = tuple(x509.load_pem_x509_certificates(authorities))
        fitting = fits(leaf, key)
    except (ValueError, TypeError) as error:
        raise BadCredentials(f"{directory} holds no certificate, key and authorities: {error}") from error
    if not fitting:
        raise BadCredentials(f"{directory / 'key.pem'} is not the key of the certificate of {owner(leaf)}")
    return Material(certificate, key, authorities, leaf, trusted)


def _read_at_once(directory: Path) -> list[bytes]:
    link = directory / _DATA
    while True:
        version = link.readlink() if link.is_symlink() else None
        data = directory if version is None else directory / version
        places = [data if (directory / name).is_symlink() else directory for name in _FILES]
        try:
            return [(place / name).read_bytes() for place, name in zip(places, _FILES, strict=True)]
        except FileNotFoundError:
            # Kubernetes takes a version away as soon as the next one counts, whoever still reads it.
            if version is None or link.readlink() == version:
                raise


class Identity:
    """What a directory holds, as it is now.

    Files that cannot be used never replace ones that can: they are logged once, and the old ones stay. Safe to be asked
    by several threads, as gRPC does.

    Args:
        directory: With cert.pem, key.pem and ca.pem.
        who: The SPIFFE id it must have; any if None.
        clock: The time.

    Raises:
        BadCredentials: It cannot be used now.
    """

    def __init__(self, directory: Path, who: str | None = None, *, clock: Clock = utc_now) -> None:
        self.directory = directory
        self._who = who
        self._clock = clock
        self._lock = threading.Lock()
        self._stamp = self._look()
        self._complained: object = None
        self._material = self._read()

    @property
    def material(self) -> Material:
        """What was read last and can be used."""
        return self._material

    def renewed(self) -> bool:
        """Looks again. Returns whether `material` is another now."""
        with self._lock:
            stamp = self._look()
            if stamp == self._stamp:
                self._complain_of_age()
                return False
            try:
                material = self._read()
            except BadCredentials as bad:
                self._complain(stamp, "the new identity cannot be used; the old one stays", str(bad))
                return False
            self._stamp = stamp
            if material.pem == self._material.pem:
                return False
            self._material = material
        return True

    def _read(self) -> Material:
        material = read_material(self.directory)
        fault = material.fault(self._who, self._clock())
        if fault is not None:
            raise BadCredentials(str(fault))
        return material

    def _complain_of_age(self) -> None:
        """Says once that the identity in use has expired: nobody will take it any more."""
        if self._clock() > self._material.leaf.not_valid_after_utc:
            fault = self._material.fault(self._who, self._clock())
            self._complain(self._stamp, "the own identity has expired, and there is no new one", str(fault))

    def _complain(self, about: object, what: str, why: str) -> None:
        if about != self._complained:
            self._complained = about
            _log.error(what, reason=why)

    def _look(self) -> _Stamp | None:
        """What changes whenever a file does; taken before they are read, so that a change meanwhile is seen later."""
        try:
            found = [os.stat(self.directory / name) for name in _FILES]  # noqa: PTH116 - per connection: no Path more
        except OSError:
            return None
        return tuple((each.st_ino, each.st_mtime_ns, each.st_size) for each in found)


def server_credentials(directory: Path, who: str | None = None) -> grpc.ServerCredentials:
    """Own certificate and key; whoever calls must show one of a trusted authority.

    gRPC asks for them on every new connection, so that they follow the files without a restart.

    Args:
        directory: With cert.pem, key.pem and ca.pem.
        who: The SPIFFE id it must have; any if None.

    Raises:
        BadCredentials: They cannot be used.
    """
    identity = Identity(directory, who)
    return grpc.dynamic_ssl_server_credentials(
        identity.material.server_configuration(),
        _PerConnection(identity),  # type: ignore[arg-type]  # its types forget that None means "as before"
        require_client_authentication=True,
    )


def client_credentials(directory: Path) -> grpc.ChannelCredentials:
    """Own certificate and key, and the authorities that others' must come from, as they are now.

    Raises:
        BadCredentials: They cannot be used.
    """
    return read_material(directory).channel_credentials()


class _PerConnection:
    """What gRPC asks on every new connection: the configuration, or None for "as before"."""

    def __init__(self, identity: Identity) -> None:
        self._identity = identity
        self._given = identity.material

    def __call__(self) -> grpc.ServerCertificateConfiguration | None:
        # Another connection's thread may have seen the change first: what counts is what gRPC was given last.
        self._identity.renewed()
        material = self._identity.material
        if material is self._given:
            return None
        self._given = material
        until = material.leaf.not_valid_after_utc.isoformat()
        _log.info("serving with a renewed identity", who=owner(material.leaf), valid_until=until)
        return material.server_configuration()
