"""Schema migrations: Alembic, one history a service, applied once however many processes start at the same time."""

import os
import threading
from pathlib import Path
from typing import Final, Protocol

from alembic import command, context
from alembic.config import Config
from alembic.runtime.migration import MigrationContext
from alembic.script import ScriptDirectory
from sqlalchemy import Connection, Engine, MetaData, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from mesh.data.schema import migrations_of
from mesh.data.tables import mesh_tables

LOCK: Final = 0x5A6F636F_6D696772
"""Advisory lock that is held while migrating; each service has a database of its own, so one number serves all."""

# Alembic keeps the migration under way in module globals (`alembic.context`, `alembic.op`): one at a time in a process.
_ALEMBIC: Final = threading.Lock()


class Bound(Protocol):
    """What of Alembic's `op` is needed here."""

    def get_bind(self) -> Connection:
        """The connection of the migration under way."""


def upgrade(service: str, url: str) -> bool:
    """Brings a service's database to the newest revision. Safe to call from several processes and threads at once.

    Args:
        service: Name of the package under `services`.
        url: `postgresql://role:password@host:port/database`.

    Returns:
        Whether anything was to be done.

    Raises:
        LookupError: The service has no migrations.
        sqlalchemy.exc.SQLAlchemyError: The database is not reachable, or a revision failed and was rolled back.
    """
    return upgrade_from(migrations_of(service), url)


def upgrade_from(migrations: Path, url: str) -> bool:
    """`upgrade` with the directory of the migrations."""
    config = _config(migrations)
    engine = _engine(url)
    with engine.connect() as connection:
        if _is_current(config, connection):
            return False
        # The lock belongs to the session: it is free again when this connection is closed, whatever happens before.
        connection.execute(text("SELECT pg_advisory_lock(:lock)"), {"lock": LOCK})
        connection.commit()
        if _is_current(config, connection):  # somebody else did it while this one waited
            return False
        with _ALEMBIC:
            config.attributes["connection"] = connection
            command.upgrade(config, "head")
        return True


def head(service: str) -> str | None:
    """The newest revision of a service, as Alembic sees it."""
    return ScriptDirectory.from_config(_config(migrations_of(service))).get_current_head()


def run_env(metadata: MetaData) -> None:
    """The body of every service's `migrations/env.py`.

    `upgrade` passes its connection; the `alembic` command line, which writes new revisions, is led by DATABASE_URL.
    """
    connection = context.config.attributes.get("connection")
    if connection is not None:
        _run(connection, metadata)
        return
    with _engine(os.environ["DATABASE_URL"]).connect() as own:
        _run(own, metadata)


def create_mesh_tables(op: Bound) -> None:
    """Creates the mesh's own tables; the first revision of each service calls it.

    A later change of these tables comes as a function of its own, called from a new revision in each service.
    """
    metadata = MetaData()
    mesh_tables(metadata)
    metadata.create_all(op.get_bind(), checkfirst=False)


def _run(connection: Connection, metadata: MetaData) -> None:
    context.configure(connection=connection, target_metadata=metadata, transaction_per_migration=True)
    with context.begin_transaction():
        context.run_migrations()
    connection.commit()


def _is_current(config: Config, connection: Connection) -> bool:
    present = set(MigrationContext.configure(connection).get_current_heads())
    connection.rollback()
    return present == set(ScriptDirectory.from_config(config).get_heads())


def _config(migrations: Path) -> Config:
    config = Config()
    config.set_main_option("script_location", str(migrations).replace("%", "%%"))
    config.set_main_option("path_separator", "os")
    return config


def _engine(url: str) -> Engine:
    return create_engine(
        make_url(url).set(drivername="postgresql+psycopg"),
        poolclass=NullPool,
        connect_args={"connect_timeout": 5, "application_name": "migrate"},
    )
