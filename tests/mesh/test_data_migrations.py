"""Migrations are applied once, by whoever comes first, and leave what the tables say."""

import asyncio
import sys
import threading
from pathlib import Path

import psycopg
import pytest
from alembic.autogenerate import compare_metadata
from alembic.runtime.migration import MigrationContext
from sqlalchemy import create_engine, make_url
from sqlalchemy.pool import NullPool

from mesh.data.migrations import upgrade_from
from mesh.data.schema import SchemaOutdated, migrations_of, schema_probe
from tests.fixtures.servers import Postgres
from tests.mesh.ledger import METADATA, opened

ENV = """
from mesh.data.migrations import run_env
from tests.mesh.ledger import METADATA

run_env(METADATA)
"""

FIRST = """
import sqlalchemy as sa
from alembic import op
from sqlalchemy.dialects.postgresql import JSONB
from mesh.data.migrations import create_mesh_tables

revision = "0001"
down_revision = None


def upgrade():
    create_mesh_tables(op)
    op.execute("SELECT pg_sleep(0.3)")
    op.create_table(
        "account", sa.Column("id", sa.Text, primary_key=True), sa.Column("balance", sa.BigInteger, nullable=False)
    )
    op.create_table(
        "events",
        sa.Column("stream_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("type", sa.Text, nullable=False),
        sa.Column("payload", sa.LargeBinary, nullable=False),
        sa.Column("metadata", JSONB, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
    op.create_table(
        "snapshots",
        sa.Column("stream_id", sa.Text, primary_key=True),
        sa.Column("version", sa.BigInteger, primary_key=True, autoincrement=False),
        sa.Column("schema", sa.Integer, nullable=False),
        sa.Column("state", sa.LargeBinary, nullable=False),
        sa.Column("time", sa.DateTime(timezone=True), nullable=False),
    )
"""

BROKEN = """
from alembic import op

revision = "0002"
down_revision = "0001"


def upgrade():
    op.execute("CREATE TABLE half_made (id int)")
    op.execute("SELECT 1 / 0")
"""


@pytest.fixture
def migrations(tmp_path: Path) -> Path:
    (tmp_path / "versions").mkdir()
    (tmp_path / "env.py").write_text(ENV)
    (tmp_path / "versions" / "0001_first.py").write_text(FIRST)
    return tmp_path


@pytest.fixture
async def url(postgres: Postgres) -> str:
    return await postgres.prepared("empty", lambda _: None)


def test_a_second_run_has_nothing_to_do(url: str, migrations: Path) -> None:
    assert upgrade_from(migrations, url) is True
    assert upgrade_from(migrations, url) is False


def test_the_tables_are_what_the_metadata_says(url: str, migrations: Path) -> None:
    upgrade_from(migrations, url)
    engine = create_engine(make_url(url).set(drivername="postgresql+psycopg"), poolclass=NullPool)
    with engine.connect() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True, "compare_server_default": True})
        assert compare_metadata(context, METADATA) == []


def test_of_many_threads_that_start_at_once_one_migrates(url: str, migrations: Path) -> None:
    results: list[bool] = []
    threads = [threading.Thread(target=lambda: results.append(upgrade_from(migrations, url))) for _ in range(5)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert sorted(results) == [False] * 4 + [True]


async def test_of_two_processes_that_start_at_once_one_migrates(url: str, migrations: Path) -> None:
    program = (
        "import sys, pathlib; from mesh.data.migrations import upgrade_from;"
        "print(upgrade_from(pathlib.Path(sys.argv[1]), sys.argv[2]))"
    )

    async def migrate() -> str:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", program, str(migrations), url, stdout=asyncio.subprocess.PIPE
        )
        output, _ = await process.communicate()
        assert process.returncode == 0
        return output.decode().strip()

    assert sorted(await asyncio.gather(migrate(), migrate())) == ["False", "True"]


def test_a_revision_that_fails_leaves_nothing_behind_and_frees_the_lock(url: str, migrations: Path) -> None:
    upgrade_from(migrations, url)
    broken = migrations / "versions" / "0002_broken.py"
    broken.write_text(BROKEN)
    for _ in range(2):
        with pytest.raises(Exception, match="division by zero"):
            upgrade_from(migrations, url)
    with psycopg.connect(url) as connection:
        assert connection.execute("SELECT version_num FROM alembic_version").fetchall() == [("0001",)]
        assert connection.execute("SELECT to_regclass('half_made')").fetchone() == (None,)
    broken.write_text(BROKEN.replace("1 / 0", "1"))
    assert upgrade_from(migrations, url) is True


async def test_a_process_is_ready_with_its_own_schema_and_with_a_newer_one_but_not_with_an_older(
    url: str, migrations: Path
) -> None:
    newer = migrations / "versions" / "0002_newer.py"
    newer.write_text(BROKEN.replace("1 / 0", "1"))
    async with opened(url) as database:
        probe = schema_probe(migrations, database)
        with pytest.raises(SchemaOutdated):
            await probe()
        newer.unlink()
        await asyncio.to_thread(upgrade_from, migrations, url)
        with pytest.raises(SchemaOutdated):
            await probe()  # it was made by code that has the newer revision
        await schema_probe(migrations, database)()
        old_code = schema_probe(migrations, database)
        newer.write_text(BROKEN.replace("1 / 0", "1"))
        await asyncio.to_thread(upgrade_from, migrations, url)
        await probe()
        await old_code()


def test_a_service_without_migrations_is_named() -> None:
    with pytest.raises(LookupError, match="nowhere"):
        migrations_of("nowhere")
