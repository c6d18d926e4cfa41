"""Brings each service's database to its newest schema, and knows cheaply when there is nothing to do."""

import ast
from collections.abc import Mapping
from pathlib import Path

import psycopg

from cli.failures import Failure
from cli.local.settings import PROJECT

SERVICES = PROJECT / "services"


def versions_directory(service: str, services: Path = SERVICES) -> Path:
    """Return where the service's Alembic revisions stand."""
    return services / service / "migrations" / "versions"


def head(service: str, services: Path = SERVICES) -> str | None:
    """Return the newest revision of `service`, read from its files without running them; None if it has none.

    Raises:
        Failure: the revisions do not form one line.
    """
    revisions: set[str] = set()
    parents: set[str] = set()
    for file in versions_directory(service, services).glob("*.py"):
        names = _assigned(file)
        if "revision" in names:
            revisions |= names["revision"]
            parents |= names.get("down_revision", set())
    heads = revisions - parents
    if len(heads) > 1:
        raise Failure(f"The migrations of {service} have {len(heads)} heads ({', '.join(sorted(heads))}); join them.")
    return heads.pop() if heads else None


def _assigned(file: Path) -> dict[str, set[str]]:
    """Return the strings that the module's top-level assignments give to each name."""
    result: dict[str, set[str]] = {}
    for node in ast.parse(file.read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        strings = [part.value for part in ast.walk(value) if isinstance(part, ast.Constant)]
        result[name] = {text for text in strings if isinstance(text, str)}
    return result


def pending(databases: Mapping[str, str]) -> list[str]:
    """Return the services whose database is not at its newest revision.

    Args:
        databases: service -> URL of its database.

    Raises:
        Failure: a database cannot be reached.
    """
    return [service for service, url in databases.items() if (newest := head(service)) and _stored(url) != newest]


def _stored(url: str) -> str | None:
    try:
        with psycopg.connect(url, connect_timeout=5) as connection:
            row = connection.execute("SELECT version_num FROM alembic_version").fetchone()
            return str(row[0]) if row else None
    except psycopg.errors.UndefinedTable:
        return None
    except psycopg.Error as error:
        raise Failure(f"A database cannot be reached: {' '.join(str(error).split())}.") from None


def upgrade(databases: Mapping[str, str]) -> list[str]:
    """Bring the databases to their newest revision; return the services for which there was something to do."""
    # Alembic and SQLAlchemy take a second to import: only when there is something to do.
    from mesh.data import migrations  # noqa: PLC0415

    return [service for service, url in databases.items() if head(service) and migrations.upgrade(service, url)]
