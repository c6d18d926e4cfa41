"""What `zoco keys` shows and says: every certificate and signing key of a home, from whom, until when."""

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime, timedelta
from pathlib import Path

from cryptography import x509
from rich.console import Console
from rich.table import Table

from cli.failures import Failure
from cli.local.authority import read_trust
from cli.local.certificates import EDGE_TLS, certificates_in, is_due
from cli.local.pki import TOKENS, exclusive, identities
from cli.local.signing_keys import SigningKeyFile, outlived_keys, retire, rotate_signing, signing_keys
from mesh.certificates import fingerprint, is_signed_by, owner, spiffe_id
from mesh.credentials import CONNECTION_AGE_SECONDS

_PREFIX = spiffe_id("")
_COLOURS = {"valid": "green", "signs": "green", "expired": "red", "foreign": "red"}


@dataclass(frozen=True)
class KeyRow:
    """One key."""

    kind: str
    """`authority`, `certificate` or `signing key`."""
    who: str
    """The SPIFFE id of its owner; `everybody` trusts an authority; `edge-tls` is what browsers see."""
    issuer: str
    """The issuing authority's fingerprint, or the key's id."""
    valid_until: datetime | None
    """None: until it is retired."""
    state: str


def overview(directory: Path, lead: timedelta, *, now: datetime | None = None) -> list[KeyRow]:
    """Return a row a key: authorities, certificates, signing keys.

    Raises:
        Failure: there is no authority yet.
        CorruptState: a file cannot be understood.
    """
    moment = now or datetime.now(UTC)
    trust = read_trust(directory)
    if trust is None:
        raise Failure(f"There is no certificate authority under {directory}; `make up` makes one.")
    rows = []
    for authority in trust.bundle:
        state = "signs" if authority == trust.issuer.certificate else "trusted"
        if trust.following is not None and authority == trust.following.certificate:
            state = "signs next"
        until = authority.not_valid_after_utc
        rows.append(KeyRow("authority", "everybody", fingerprint(authority), until, state))
    for name in identities(directory):
        certificate = certificates_in(directory / name / "cert.pem")[0]
        issuer = next((each for each in trust.bundle if is_signed_by(certificate, each)), None)
        shown = "unknown" if issuer is None else fingerprint(issuer)
        state = "foreign" if issuer is None else _state(certificate, moment)
        row = _row("certificate", certificate, shown, state)
        rows.append(row if name != EDGE_TLS else KeyRow(row.kind, EDGE_TLS, shown, row.valid_until, state))
    rows += [_signing_row(key, moment) for key in signing_keys(directory / TOKENS, lead)]
    return rows


def as_json(rows: Sequence[KeyRow]) -> list[dict[str, object]]:
    """Return the rows as `zoco keys --json` prints them."""
    return [{**asdict(row), "valid_until": row.valid_until and row.valid_until.isoformat()} for row in rows]


def show(rows: Sequence[KeyRow], console: Console) -> None:
    """Print the table."""
    table = Table(box=None, pad_edge=False, header_style="bold")
    for name in ("kind", "who", "issuer / key id", "valid until", "state"):
        table.add_column(name, no_wrap=name != "state", overflow="fold")
    for row in rows:
        until = f"{row.valid_until:%Y-%m-%d %H:%M} UTC" if row.valid_until else "until retired"
        colour = _COLOURS.get(row.state, "yellow")
        table.add_row(row.kind, row.who.removeprefix(_PREFIX), row.issuer, until, f"[{colour}]{row.state}[/{colour}]")
    console.print(table, highlight=False)


def dropped_sentence() -> str:
    """Say what remains of the old authority after its rotation."""
    minutes = CONNECTION_AGE_SECONDS // 60
    return f"The authority is replaced. Connections made under the old one take no new calls after {minutes} minutes."


def rotate_signing_key(directory: Path, lead: timedelta) -> str:
    """Put a new signing key in place; return the sentence that says what comes next."""
    with exclusive(directory):
        key, made = rotate_signing(directory / TOKENS, lead, datetime.now(UTC))
    what = "New signing key" if made else "A new signing key is there already:"
    return f"{what} {key.kid}: published now, signs from {key.signs_from:%Y-%m-%d %H:%M:%S} UTC on."


def retire_keys(directory: Path, lead: timedelta, kid: str | None, *, force: bool) -> str:
    """Delete one signing key, or all that no valid token needs; return the sentence for the terminal.

    Raises:
        Failure: the named key is not there, or still needed.
    """
    now = datetime.now(UTC)
    with exclusive(directory):
        keys = signing_keys(directory / TOKENS, lead)
        chosen = [kid] if kid else [key.kid for key in outlived_keys(keys, now)]
        for each in chosen:
            retire(keys, each, now, force=force)
    if not chosen:
        return "No signing key can be retired: tokens of each may still be valid."
    return f"Retired {', '.join(chosen)}; within a minute its tokens are refused everywhere."


def _row(kind: str, certificate: x509.Certificate, issuer: str, state: str) -> KeyRow:
    return KeyRow(kind, owner(certificate), issuer, certificate.not_valid_after_utc, state)


def _state(certificate: x509.Certificate, now: datetime) -> str:
    if now > certificate.not_valid_after_utc:
        return "expired"
    return "due" if is_due(certificate, now) else "valid"


def _signing_row(key: SigningKeyFile, now: datetime) -> KeyRow:
    if now < key.signs_from:
        state = f"signs from {key.signs_from:%H:%M:%S} UTC on"
    elif key.signs_until is None or now < key.signs_until:
        state = "signs"
    else:
        state = "verifies"
    return KeyRow("signing key", "user", key.kid, key.outlived, state)
