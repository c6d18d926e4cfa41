"""Alembic's entry: the tables of this service, migrated the way every service is."""

from mesh.data.migrations import run_env
from services.notification.tables import metadata

run_env(metadata)
