"""Knowing cheaply whether a database is at its newest schema."""

from collections.abc import AsyncIterator, Mapping
from pathlib import Path

import psycopg
import pytest

from cli.failures import Failure
from cli.local import catalog, migrations
from cli.local.home import Home
from cli.local.ports import Ports
from cli.local.postgres import ensure_cluster, ensure_databases, local_database, postgres_process
from cli.local.spawning import ExecSpawner
from cli.local.supervisor import Supervisor
from mesh.data.migrations import head as alembic_head
from tests.ports import free_port

SERVICE = "payment"

REVISION = """
revision = "{revision}"
down_revision: str | None = {parent!r}

def upgrade() -> None:
    raise AssertionError("reading a revision must not run it")

raise AssertionError("reading a revision must not import it")
"""


def write(services: Path, *revisions: tuple[str, str | None]) -> None:
    directory = migrations.versions_directory("shop", services)
    directory.mkdir(parents=True)
    for revision, parent in revisions:
        (directory / f"{revision}.py").write_text(REVISION.format(revision=revision, parent=parent))


@pytest.fixture
async def databases(home: Home) -> AsyncIterator[Mapping[str, str]]:
    port = free_port()
    supervisor = Supervisor(home.run_file, Ports(1, 2, 3, 4, {}, {}, port, 6, 7), None, ExecSpawner())
    await ensure_cluster(home, "secret")
    await supervisor.start([postgres_process(home, port, start_seconds=30.0)])
    server = local_database(port, "secret")
    ensure_databases(server, {SERVICE: "own"})
    yield {SERVICE: server.of(SERVICE, "own")}
    await supervisor.drain()


async def test_what_was_applied_is_not_pending_any_more(databases: Mapping[str, str]) -> None:
    assert migrations.pending(databases) == [SERVICE]
    assert migrations.upgrade(databases) == [SERVICE]
    assert migrations.pending(databases) == []
    assert migrations.upgrade(databases) == []
    with psycopg.connect(databases[SERVICE]) as connection:
        connection.execute("UPDATE alembic_version SET version_num = 'older'")
    assert migrations.pending(databases) == [SERVICE]


@pytest.mark.parametrize("service", catalog.runnable(catalog.workloads()))
def test_the_head_is_the_one_that_alembic_finds(service: str) -> None:
    assert migrations.head(service) == alembic_head(service)


def test_the_head_is_read_without_running_a_revision(tmp_path: Path) -> None:
    write(tmp_path, ("0001", None), ("0002", "0001"), ("0003", "0002"))
    assert migrations.head("shop", tmp_path) == "0003"
    assert migrations.head("other", tmp_path) is None


def test_two_heads_are_refused(tmp_path: Path) -> None:
    write(tmp_path, ("0001", None), ("0002", "0001"), ("0003", "0001"))
    with pytest.raises(Failure, match=r"The migrations of shop have 2 heads \(0002, 0003\); join them\."):
        migrations.head("shop", tmp_path)


def test_a_database_that_is_not_there_is_one_sentence() -> None:
    with pytest.raises(Failure, match="A database cannot be reached: "):
        migrations.pending({SERVICE: f"postgresql://x:y@127.0.0.1:{free_port()}/x"})
