"""An Envoy's own certificate and whom it trusts, by file SDS: both rotate without a restart and without a lost call."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath
from typing import Final

import yaml

from gateway.xds import Message, extension, typed

_SECRET: Final = "envoy.extensions.transport_sockets.tls.v3.Secret"  # noqa: S105 - the name of a message
_CERTIFICATE: Final = "certificate"
_AUTHORITY: Final = "authority"


@dataclass(frozen=True)
class IdentityFiles:
    """A workload's identity on disk, as a directory that is swapped at once when it rotates.

    Attributes:
        directory: holds cert.pem, key.pem and ca.pem, each a link through `..data`; Envoy watches it. Absolute.
        secrets: where the SDS files stand that `sds_files` gives, absolute; None for an identity that never changes
            while Envoy runs. Following one costs four of the 128 inotify instances that Linux gives a user by default.
    """

    directory: str
    secrets: str | None


def sds_files(identity: IdentityFiles, *, trusts: bool = True) -> dict[str, str]:
    """Give the SDS files of an identity.

    Args:
        identity: where its certificate is, and where these files will stand.
        trusts: whether it has an authority too; what browsers see has none.

    Returns:
        YAML by file name, to be written under `identity.secrets`.
    """
    watched = {"watched_directory": {"path": identity.directory}}
    certificate, authority = ({**each, **watched} for each in _files(identity))
    files = {f"{_CERTIFICATE}.yaml": _resources(_CERTIFICATE, tls_certificate=certificate)}
    if trusts:
        files[f"{_AUTHORITY}.yaml"] = _resources(_AUTHORITY, validation_context=authority)
    return files


def upstream_tls(identity: IdentityFiles, *, spiffe_id: str, sni: str, alpn: str) -> Message:
    """Give the transport socket of a cluster: mTLS with whoever carries exactly that SPIFFE id.

    Args:
        identity: what is shown, and whom it trusts.
        spiffe_id: of the workload that must answer. Any workload's certificate chains to the same authority: only its
            SPIFFE id says who answers.
        sni: the name that is asked for.
        alpn: `h2` or `http/1.1`.
    """
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.UpstreamTlsContext",
        sni=sni,
        common_tls_context=_context(identity, {"exact": spiffe_id}, [alpn]),
    )


def downstream_tls(identity: IdentityFiles, *, accepted: Message, alpn: Sequence[str] = ("h2",)) -> Message:
    """Give the transport socket of a listener that lets in nobody without a certificate.

    Args:
        identity: what is shown, and whom it trusts.
        accepted: a StringMatcher on the SPIFFE id of who may connect at all.
        alpn: the protocols spoken.
    """
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        require_client_certificate=True,
        # A session that was resumed would outlive the certificate it began with.
        disable_stateless_session_resumption=True,
        disable_stateful_session_resumption=True,
        common_tls_context=_context(identity, accepted, list(alpn)),
    )


def public_tls(identity: IdentityFiles, *, alpn: Sequence[str]) -> Message:
    """Give the transport socket of a listener that anybody may connect to.

    Args:
        identity: what is shown.
        alpn: the protocols spoken.
    """
    return extension(
        "envoy.transport_sockets.tls",
        "envoy.extensions.transport_sockets.tls.v3.DownstreamTlsContext",
        common_tls_context={
            "alpn_protocols": list(alpn),
            "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"},
            **_own_certificate(identity),
        },
    )


def _context(identity: IdentityFiles, accepted: Message, alpn: list[str]) -> Message:
    names = {"match_typed_subject_alt_names": [{"san_type": "URI", "matcher": accepted}]}
    base = {"alpn_protocols": alpn, "tls_params": {"tls_minimum_protocol_version": "TLSv1_2"}}
    own = _own_certificate(identity)
    if identity.secrets is None:
        return {**base, **own, "validation_context": {**_files(identity)[1], **names}}
    return {
        **base,
        **own,
        "combined_validation_context": {
            "default_validation_context": names,
            "validation_context_sds_secret_config": _by_file(identity.secrets, _AUTHORITY),
        },
    }


def _own_certificate(identity: IdentityFiles) -> Message:
    """Give what is shown: read once, or followed where the identity rotates."""
    if identity.secrets is None:
        return {"tls_certificates": [_files(identity)[0]]}
    return {"tls_certificate_sds_secret_configs": [_by_file(identity.secrets, _CERTIFICATE)]}


def _files(identity: IdentityFiles) -> tuple[Message, Message]:
    """Give the certificate with its key, and the authorities: several while one takes over from another."""
    pki = PurePosixPath(identity.directory)
    certificate = {
        "certificate_chain": {"filename": str(pki / "cert.pem")},
        "private_key": {"filename": str(pki / "key.pem")},
    }
    return certificate, {"trusted_ca": {"filename": str(pki / "ca.pem")}}


def _by_file(secrets: str, name: str) -> Message:
    path = str(PurePosixPath(secrets) / f"{name}.yaml")
    return {
        "name": name,
        "sds_config": {"path_config_source": {"path": path}, "resource_api_version": "V3"},
    }


def _resources(name: str, **secret: Message) -> str:
    return yaml.safe_dump({"resources": [typed(_SECRET, name=name, **secret)]}, sort_keys=False, width=140)
