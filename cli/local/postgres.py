"""PostgreSQL on this machine: a durable cluster made once, with one database and one role a workload."""

import asyncio
import os
import shutil
import signal
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from urllib.parse import quote, urlsplit, urlunsplit

import psycopg
from psycopg import sql

from cli.failures import CorruptState, Failure
from cli.local import binaries
from cli.local.account import Account, database_account
from cli.local.home import Home
from cli.local.portcheck import LOOPBACK
from cli.local.probes import PostgresHealth
from cli.local.process import ProcessSpec
from cli.local.spawning import Program, launched

SUPERUSER = "postgres"
_VERSION = "18"

_SERVER: Mapping[str, str] = {
    "listen_addresses": LOOPBACK,
    # No socket file: its path would be too long in many checkouts, and TCP on loopback with scram does the same.
    "unix_socket_directories": "",
    "fsync": "on",
    "synchronous_commit": "on",
    "full_page_writes": "on",
    # Every process of every service has a pool; a few for migrations, backup and a person.
    "max_connections": "300",
    "superuser_reserved_connections": "5",
    "shared_buffers": "128MB",
    "max_wal_size": "2GB",
    "checkpoint_timeout": "15min",
    # Statements here are short: compiling them costs more than it saves.
    "jit": "off",
    "password_encryption": "scram-sha-256",
    "timezone": "UTC",
    "log_timezone": "UTC",
    "log_line_prefix": "%m [%p] %q%u@%d ",
    "log_lock_waits": "on",
    "cluster_name": "zoco",
}

# A stuck statement gives up before the longest deadline of an RPC would leave it an orphan; a transaction that a dead
# client left open ends before it holds vacuum up.
_ROLE: Mapping[str, str] = {
    "statement_timeout": "30s",
    "lock_timeout": "5s",
    "idle_in_transaction_session_timeout": "15s",
}


@dataclass(frozen=True)
class Database:
    """A server to make databases on: ours, or one that DATABASE_URL names."""

    url: str
    """As a role that may create roles and databases."""

    def of(self, workload: str, password: str) -> str:
        """Return the URL with which `workload` connects to its own database."""
        parts = urlsplit(self.url)
        place = parts.netloc.rpartition("@")[2]
        account = f"{quote(workload, safe='')}:{quote(password, safe='')}"
        return urlunsplit((parts.scheme, f"{account}@{place}", f"/{quote(workload, safe='')}", parts.query, ""))


def local_database(port: int, password: str) -> Database:
    """Return the database server that we run on `port`."""
    return Database(f"postgresql://{SUPERUSER}:{quote(password, safe='')}@{LOOPBACK}:{port}/postgres")


async def ensure_cluster(home: Home, password: str) -> bool:
    """Make the data directory if there is none; return whether it was made.

    Raises:
        CorruptState: there is a directory that is not a cluster of this version.
        MissingBinary: PostgreSQL is not installed.
        Failure: `initdb` failed.
    """
    directory = home.postgres
    version = directory / "PG_VERSION"
    if version.exists():
        found = version.read_text().strip()
        if found != _VERSION:
            raise CorruptState(
                f"{directory} was made by PostgreSQL {found} and this is {_VERSION}; "
                f"`zoco backup` with the old version first, or `make reset` to delete the data."
            )
        return False
    if directory.exists() and any(directory.iterdir()):
        raise CorruptState(
            f"{directory} holds files but no database (PG_VERSION is missing); `make reset` deletes the local data."
        )
    # Made aside and moved into place, so that a start that is cut short leaves no half-made cluster.
    unfinished = directory.with_name("postgres.unfinished")
    shutil.rmtree(unfinished, ignore_errors=True)
    unfinished.mkdir(mode=0o700)
    password_file = home.data / "postgres.password"
    try:
        handle = os.open(password_file, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(handle, "w") as file:
            file.write(password)
        account = _account(home)
        if account is not None:
            account.own(unfinished)
            account.own(password_file)
        await _initdb(unfinished, password_file, account)
        if directory.exists():
            directory.rmdir()
        unfinished.rename(directory)
    finally:
        password_file.unlink(missing_ok=True)
    return True


async def _initdb(directory: Path, password_file: Path, account: Account | None) -> None:
    command = (
        str(binaries.postgres_directory() / "initdb"),
        f"--pgdata={directory}",
        f"--username={SUPERUSER}",
        f"--pwfile={password_file}",
        "--auth=scram-sha-256",
        "--encoding=UTF8",
        # PostgreSQL's own: sorts alike on every machine, whatever its C library.
        "--locale-provider=builtin",
        "--builtin-locale=C.UTF-8",
        "--locale=C",
        "--data-checksums",
    )
    child = await asyncio.create_subprocess_exec(
        *launched(Program(command, account=account)),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
        cwd="/",
        env=_environment(),
        start_new_session=True,
    )
    output, _ = await child.communicate()
    if child.returncode:
        lines = tuple(output.decode(errors="replace").splitlines()[-12:])
        if any("No space left" in line for line in lines):
            raise Failure(f"There is no disk space left for the database in {directory.parent}.")
        raise Failure(f"PostgreSQL cannot make its data directory {directory}.", details=lines)


def postgres_process(home: Home, port: int, *, start_seconds: float) -> ProcessSpec:
    """Return how to run the cluster of `home` on `port`."""
    directory = binaries.postgres_directory()
    settings = {**_SERVER, "port": str(port)}
    options = [part for name, value in settings.items() for part in ("-c", f"{name}={value}")]
    return ProcessSpec(
        name="postgres",
        # If we die: a fast shutdown, as when we stop it.
        program=Program(
            (str(directory / "postgres"), "-D", str(home.postgres), *options),
            _environment(),
            _account(home),
            death_signal=signal.SIGINT,
        ),
        log=home.log("postgres"),
        probe=PostgresHealth(port),
        port=port,
        start_seconds=start_seconds,
        # "Fast": roll back what is open, write a checkpoint, leave. SIGTERM would wait for every client.
        stop_signal=signal.SIGINT,
        stop_seconds=30.0,
        probe_seconds=5.0,
    )


def ensure_databases(database: Database, workloads: Mapping[str, str]) -> list[str]:
    """Make the role and the database of each workload where missing, and set role limits and passwords anew.

    Args:
        database: where.
        workloads: name -> password.

    Returns:
        The names whose database was made.

    Raises:
        Failure: the server cannot be reached, or its role may not do this.
    """
    try:
        with psycopg.connect(database.url, autocommit=True, connect_timeout=5) as connection:
            roles = {row[0] for row in connection.execute("SELECT rolname FROM pg_roles")}
            databases = {row[0] for row in connection.execute("SELECT datname FROM pg_database")}
            with connection.transaction():
                for name, password in workloads.items():
                    _ensure_role(connection, name, password, exists=name in roles)
            made = [name for name in workloads if name not in databases]
            for name in made:
                owner = sql.Identifier(name)
                # On a server that is not ours, the role that creates may not be a member of the owner's yet.
                connection.execute(sql.SQL("GRANT {} TO CURRENT_USER").format(owner))
                connection.execute(sql.SQL("CREATE DATABASE {} OWNER {}").format(owner, owner))
                connection.execute(sql.SQL("REVOKE ALL ON DATABASE {} FROM PUBLIC").format(owner))
            return made
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise Failure(f"The database at {_without_password(database.url)} cannot be prepared: {reason}.") from None


def databases_on(database: Database) -> set[str]:
    """Return the names of the databases on a server.

    Raises:
        Failure: it cannot be reached.
    """
    try:
        with psycopg.connect(database.url, autocommit=True, connect_timeout=5) as connection:
            return {str(row[0]) for row in connection.execute("SELECT datname FROM pg_database")}
    except psycopg.Error as error:
        reason = " ".join(str(error).split())
        raise Failure(f"The database at {_without_password(database.url)} cannot be reached: {reason}.") from None


def _ensure_role(connection: psycopg.Connection[tuple[object, ...]], name: str, password: str, *, exists: bool) -> None:
    role = sql.Identifier(name)
    verb = sql.SQL("ALTER" if exists else "CREATE")
    connection.execute(sql.SQL("{} ROLE {} LOGIN PASSWORD {}").format(verb, role, sql.Literal(password)))
    for setting, value in _ROLE.items():
        connection.execute(
            sql.SQL("ALTER ROLE {} SET {} = {}").format(role, sql.Identifier(setting), sql.Literal(value))
        )


def _without_password(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.hostname}:{parts.port or 5432}"


def _account(home: Home) -> Account | None:
    return database_account([home.postgres, binaries.postgres_directory() / "postgres"])


def _environment() -> dict[str, str]:
    # Nothing of ours: a PGDATA or PGPORT in the environment must not reach the server.
    return {"PATH": "/usr/bin:/bin", "LC_ALL": "C", "TZ": "UTC"}
