"""The revisions of product lead to the tables its code speaks of."""

from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import Engine, create_engine, make_url, text
from sqlalchemy.pool import NullPool

from services.product.search import SEARCH_VECTOR
from services.product.tables import metadata
from tests.fixtures.servers import Postgres

EXPRESSION = text("SELECT pg_get_expr(adbin, adrelid) FROM pg_attrdef WHERE adrelid = CAST(:name AS regclass)")


async def migrated(postgres: Postgres) -> Engine:
    url = make_url(await postgres.database("product")).set(drivername="postgresql+psycopg")
    return create_engine(url, poolclass=NullPool)


async def test_the_tables_are_what_the_metadata_says(postgres: Postgres) -> None:
    with (await migrated(postgres)).connect() as connection:
        # Not the defaults: Alembic cannot compare the one generated column, which the next test does.
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": False})
        assert compare_metadata(context, metadata) == []


async def test_the_words_that_are_indexed_are_those_the_search_speaks_of(postgres: Postgres) -> None:
    fresh = f"""
        CREATE TEMPORARY TABLE fresh (
            name text, description text, attributes jsonb, search tsvector GENERATED ALWAYS AS ({SEARCH_VECTOR}) STORED
        )
    """
    with (await migrated(postgres)).connect() as connection:
        connection.execute(text(fresh))
        expressions = [connection.execute(EXPRESSION, {"name": name}).scalars().all() for name in ("product", "fresh")]
    assert expressions[0] == expressions[1] != []
