"""The tables of the code and those of the migrations are the same."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from services.analytics.tables import metadata
from tests.fixtures.servers import Postgres


async def test_the_migrations_make_the_tables_that_the_code_knows(postgres: Postgres) -> None:
    url = make_url(await postgres.database("analytics")).set(drivername="postgresql+psycopg")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        assert compare_metadata(MigrationContext.configure(connection), metadata) == []
