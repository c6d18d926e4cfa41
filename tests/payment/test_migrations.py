"""The revisions of payment lead to the tables its code speaks of."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from services.payment.tables import metadata
from tests.fixtures.servers import Postgres


async def test_the_tables_are_what_the_metadata_says(postgres: Postgres) -> None:
    url = make_url(await postgres.database("payment")).set(drivername="postgresql+psycopg")
    with create_engine(url, poolclass=NullPool).connect() as connection:
        options = {"compare_type": True, "compare_server_default": True, "include_schemas": True}
        context = MigrationContext.configure(connection, opts=options)
        assert compare_metadata(context, metadata) == []
