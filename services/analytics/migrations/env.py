"""Alembic's way into this service."""

from mesh.data.migrations import run_env
from services.analytics.tables import metadata

run_env(metadata)
