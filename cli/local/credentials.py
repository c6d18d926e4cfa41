"""Secrets made once a home: the administrator's password, those of database and broker, and what seals others."""

import base64
import json
import secrets
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from cli.local.home import Home, write_private
from cli.local.runfile import damaged

_ADMIN_EMAIL = "admin@zoco.local"
_BYTES = 24
_KEY_BYTES = 32


@dataclass(frozen=True)
class Credentials:
    """The first administrator."""

    admin_email: str
    admin_password: str


@dataclass(frozen=True)
class Secrets:
    """What processes prove themselves with to the database and the broker."""

    postgres: str
    nats: str
    """The broker's operator."""
    databases: dict[str, str]
    """Each workload's role."""
    brokers: dict[str, str]
    """Each workload's account on the broker."""
    webhooks: str
    """What the secrets of webhooks are kept under: base64 of 32 bytes."""


def credentials(home: Home) -> Credentials:
    """Return the administrator's credentials, made on first use.

    Raises:
        CorruptState: the file is damaged.
    """
    content = _read(home.credentials_file, ("adminEmail", "adminPassword"))
    if content is None:
        made = Credentials(_ADMIN_EMAIL, secrets.token_urlsafe(_BYTES))
        body = {"adminEmail": made.admin_email, "adminPassword": made.admin_password}
        write_private(home.credentials_file, json.dumps(body, indent=2) + "\n")
        return made
    return Credentials(content["adminEmail"], content["adminPassword"])


def passwords(home: Home, workloads: Sequence[str]) -> Secrets:
    """Return what processes prove themselves with, and what notification seals with; what is missing is made.

    Raises:
        CorruptState: the file is damaged.
    """
    stored = _read(home.secrets_file, ("postgres", "nats", "databases"))
    content = stored or {"postgres": secrets.token_urlsafe(_BYTES), "nats": secrets.token_urlsafe(_BYTES)}
    result = Secrets(
        postgres=content["postgres"],
        nats=content["nats"],
        databases=_completed(content.get("databases", {}), workloads),
        brokers=_completed(content.get("brokers", {}), workloads),  # a home of before has none
        webhooks=content.get("webhooks") or base64.b64encode(secrets.token_bytes(_KEY_BYTES)).decode(),  # the same
    )
    if asdict(result) != stored:
        write_private(home.secrets_file, json.dumps(asdict(result), indent=2) + "\n")
    return result


def _completed(known: Mapping[str, str], workloads: Sequence[str]) -> dict[str, str]:
    missing = {name: secrets.token_urlsafe(_BYTES) for name in workloads if name not in known}
    return {**known, **missing}


def _read(path: Path, fields: Sequence[str]) -> dict[str, Any] | None:
    try:
        content = json.loads(path.read_text())
        missing = [name for name in fields if not content[name] and name != "databases"]
    except FileNotFoundError:
        return None
    except (ValueError, KeyError, TypeError) as error:
        raise damaged(path, error) from None
    if missing:
        raise damaged(path, ValueError(f"{missing[0]} is empty"))
    return dict(content)
