"""PostgreSQL as this machine runs it: durable, behind passwords, one database a workload."""

import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path

import psycopg
import pytest

from cli.failures import CorruptState, Failure
from cli.local.home import Home
from cli.local.ports import Ports
from cli.local.postgres import Database, ensure_cluster, ensure_databases, local_database, postgres_process
from cli.local.spawning import ExecSpawner
from cli.local.supervisor import Supervisor
from tests.cli.checkout import until
from tests.ports import free_port

PASSWORDS = {"order": "p@ss/word 'one", "user": "another"}


@dataclass(frozen=True)
class Cluster:
    home: Home
    port: int
    supervisor: Supervisor
    database: Database

    def url(self, workload: str) -> str:
        return self.database.of(workload, PASSWORDS[workload])


async def started(home: Home) -> Cluster:
    port = free_port()
    supervisor = Supervisor(home.run_file, Ports(1, 2, 3, 4, {}, {}, port, 6, 7), None, ExecSpawner())
    await ensure_cluster(home, "top secret")
    await supervisor.start([postgres_process(home, port, start_seconds=30.0)])
    return Cluster(home, port, supervisor, local_database(port, "top secret"))


@pytest.fixture
async def cluster(home: Home) -> AsyncIterator[Cluster]:
    result = await started(home)
    yield result
    await result.supervisor.drain()


async def test_data_survives_a_stop_and_a_start(home: Home) -> None:
    first = await started(home)
    assert ensure_databases(first.database, PASSWORDS) == ["order", "user"]
    with psycopg.connect(first.url("order")) as connection:
        connection.execute("CREATE TABLE kept (answer int)")
        connection.execute("INSERT INTO kept VALUES (42)")
    await first.supervisor.drain()
    second = await started(home)
    assert ensure_databases(second.database, PASSWORDS) == []
    with psycopg.connect(second.url("order")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)
    await second.supervisor.drain()


async def test_what_was_committed_survives_kill_9(cluster: Cluster) -> None:
    ensure_databases(cluster.database, PASSWORDS)
    with psycopg.connect(cluster.url("order"), autocommit=True) as connection:
        connection.execute("CREATE TABLE kept (answer int)")
        connection.execute("INSERT INTO kept VALUES (42)")
        pid = cluster.supervisor.report()[0].pid
        os.kill(pid or 0, signal.SIGKILL)
    await until(lambda: cluster.supervisor.report()[0].restarts == 1, "it is restarted")
    await until(lambda: cluster.supervisor.report()[0].state == "healthy", "it has recovered")
    with psycopg.connect(cluster.url("order")) as connection:
        assert connection.execute("SELECT answer FROM kept").fetchone() == (42,)


async def test_commits_are_durable_and_passwords_are_scram(cluster: Cluster) -> None:
    ensure_databases(cluster.database, PASSWORDS)
    with psycopg.connect(cluster.url("order")) as connection:
        shown = {
            name: (connection.execute(f"SHOW {name}").fetchone() or ("",))[0]
            for name in ("fsync", "synchronous_commit", "full_page_writes", "data_checksums", "password_encryption")
        }
    assert shown == {
        "fsync": "on",
        "synchronous_commit": "on",
        "full_page_writes": "on",
        "data_checksums": "on",
        "password_encryption": "scram-sha-256",
    }


async def test_nobody_gets_in_without_the_password(cluster: Cluster) -> None:
    ensure_databases(cluster.database, PASSWORDS)
    for url in (cluster.database.of("order", "wrong"), local_database(cluster.port, "wrong").url):
        with pytest.raises(psycopg.OperationalError, match="password authentication failed"):
            psycopg.connect(url)


async def test_a_workload_cannot_enter_the_database_of_another(cluster: Cluster) -> None:
    ensure_databases(cluster.database, PASSWORDS)
    with pytest.raises(psycopg.OperationalError, match="permission denied for database"):
        psycopg.connect(cluster.url("order").rsplit("/", 1)[0] + "/user")


async def test_a_workload_can_neither_become_another_nor_make_roles_and_databases(cluster: Cluster) -> None:
    ensure_databases(cluster.database, PASSWORDS)
    with psycopg.connect(cluster.url("order"), autocommit=True) as connection:
        for statement in ('SET ROLE "user"', "SET ROLE postgres", "CREATE ROLE mallory", "CREATE DATABASE mallory"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)
        for statement in ("COPY (SELECT 1) TO PROGRAM 'true'", "SELECT pg_read_file('PG_VERSION')"):
            with pytest.raises(psycopg.errors.InsufficientPrivilege):
                connection.execute(statement)


async def test_a_stuck_statement_of_a_workload_gives_up(cluster: Cluster) -> None:
    ensure_databases(cluster.database, PASSWORDS)
    with psycopg.connect(cluster.url("user")) as connection:
        limits = [
            (connection.execute(f"SHOW {name}").fetchone() or ("",))[0]
            for name in ("statement_timeout", "lock_timeout", "idle_in_transaction_session_timeout")
        ]
    assert limits == ["30s", "5s", "15s"]


async def test_a_database_elsewhere_is_prepared_by_a_role_that_is_no_superuser(cluster: Cluster) -> None:
    with psycopg.connect(cluster.database.url, autocommit=True) as connection:
        connection.execute("CREATE ROLE operator LOGIN CREATEROLE CREATEDB PASSWORD 'x'")
    elsewhere = Database(f"postgresql://operator:x@127.0.0.1:{cluster.port}/postgres")
    assert ensure_databases(elsewhere, PASSWORDS) == ["order", "user"]
    assert ensure_databases(elsewhere, PASSWORDS) == []
    with psycopg.connect(elsewhere.of("order", PASSWORDS["order"])) as connection:
        connection.execute("CREATE TABLE mine (answer int)")


async def test_a_database_that_is_not_there_is_one_sentence() -> None:
    nowhere = free_port()
    with pytest.raises(Failure, match=rf"The database at 127\.0\.0\.1:{nowhere} cannot be prepared"):
        ensure_databases(local_database(nowhere, "secret"), PASSWORDS)


async def test_a_cluster_that_was_never_finished_is_made_anew(home: Home) -> None:
    unfinished = home.data / "postgres.unfinished"
    unfinished.mkdir()
    (unfinished / "PG_VERSION").write_text("18\n")
    assert await ensure_cluster(home, "secret")
    assert not unfinished.exists()
    assert not await ensure_cluster(home, "secret")


@pytest.mark.parametrize(
    ("file", "content", "sentence"),
    [
        ("PG_VERSION", "16\n", "was made by PostgreSQL 16 and this is 18"),
        ("base", "", r"holds files but no database .* `make reset`"),
    ],
)
async def test_a_directory_that_is_no_cluster_of_ours_is_refused(
    home: Home, file: str, content: str, sentence: str
) -> None:
    home.postgres.mkdir()
    (home.postgres / file).write_text(content)
    with pytest.raises(CorruptState, match=sentence):
        await ensure_cluster(home, "secret")


@pytest.mark.skipif(os.geteuid() != 0, reason="only root needs another account for PostgreSQL")
async def test_root_runs_it_under_another_account_even_below_a_closed_directory(tmp_path: Path) -> None:
    closed = tmp_path / "closed"
    closed.mkdir(mode=0o700)
    home = Home(closed / "zoco")
    home.create()
    cluster = await started(home)
    assert ensure_databases(cluster.database, PASSWORDS) == ["order", "user"]
    assert home.postgres.stat().st_uid != 0
    assert closed.stat().st_mode & 0o777 == 0o700
    await cluster.supervisor.drain()
