"""Which schema a database has and which this code was written for, without loading the tool that migrates."""

import ast
import importlib.util
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from sqlalchemy import text

from mesh.data.database import Database

_HAS_VERSION: Final = text("SELECT to_regclass('alembic_version') IS NOT NULL")
_VERSION: Final = text("SELECT version_num FROM alembic_version")


class SchemaOutdated(Exception):
    """The database is at an older revision than the code; `zoco migrate` brings it up."""


@dataclass(frozen=True)
class Revisions:
    """The revisions in a directory of migrations."""

    newest: frozenset[str]
    """Those that no other one builds on."""
    older: frozenset[str]


def migrations_of(service: str) -> Path:
    """The directory of a service's migrations.

    Raises:
        LookupError: There is none.
    """
    spec = importlib.util.find_spec(f"services.{service}")
    for location in (spec.submodule_search_locations or ()) if spec else ():
        migrations = Path(location) / "migrations"
        if migrations.is_dir():
            return migrations
    raise LookupError(f"the service {service} has no migrations")


def read_revisions(migrations: Path) -> Revisions:
    """Reads the revisions out of their files without running them."""
    revisions: set[str] = set()
    parents: set[str] = set()
    for file in sorted((migrations / "versions").glob("*.py")):
        for name, values in _assigned(file):
            if name == "revision":
                revisions |= values
            elif name == "down_revision":
                parents |= values
    return Revisions(frozenset(revisions - parents), frozenset(revisions & parents))


def schema_probe(migrations: Path, database: Database) -> Callable[[], Awaitable[None]]:
    """A probe for the health of a process: does the database have the schema that this code was written for?

    A revision that this code does not know is taken for a newer one: in a rolling update the old processes serve on,
    and migrations have to keep them working. Once it was fine it is not looked at again: schemas do not go back.

    Returns:
        The probe; it raises SchemaOutdated, or as Database.reading does.
    """
    revisions = read_revisions(migrations)
    settled = False

    async def probe() -> None:
        nonlocal settled
        if settled:
            return
        present: set[str] = set()
        async with database.reading() as connection:
            if (await connection.execute(_HAS_VERSION)).scalar_one():
                present = set((await connection.execute(_VERSION)).scalars())
        if not present or present & revisions.older:
            raise SchemaOutdated(
                f"the database is at {sorted(present) or 'no revision'}, the code at {sorted(revisions.newest)}"
            )
        settled = True

    return probe


def _assigned(file: Path) -> list[tuple[str, set[str]]]:
    """The strings that a module's top-level assignments give to each name."""
    found = []
    for node in ast.parse(file.read_text()).body:
        match node:
            case ast.Assign(targets=[ast.Name(id=name)], value=value):
                pass
            case ast.AnnAssign(target=ast.Name(id=name), value=ast.expr() as value):
                pass
            case _:
                continue
        constants = (part.value for part in ast.walk(value) if isinstance(part, ast.Constant))
        found.append((name, {constant for constant in constants if isinstance(constant, str)}))
    return found
