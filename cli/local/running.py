"""What other commands need to know of a running system: its databases, its edge, its administrator."""

from dataclasses import dataclass
from pathlib import Path

from cli.failures import NotRunning
from cli.local import catalog
from cli.local.credentials import Credentials, credentials, passwords
from cli.local.home import Home
from cli.local.portcheck import LOOPBACK
from cli.local.ports import Ports
from cli.local.postgres import Database, databases_on, local_database
from cli.local.runfile import read_run_state
from cli.local.settings import LocalSettings


@dataclass(frozen=True)
class ShopAddress:
    """How a command of ours reaches the shop as its administrator or as the workload `cli`."""

    edge_url: str
    grpc_target: str
    credentials: Credentials
    identity: Path
    """Directory of the workload certificate for calls to services."""
    services: dict[str, str]
    """Process name -> address."""


def ports(home: Home) -> Ports:
    """Return the ports of the running system.

    Raises:
        NotRunning: nothing runs under `home`.
    """
    state = read_run_state(home.run_file)
    if state is None or state.supervisor is None or state.supervisor.process() is None:
        raise NotRunning("Nothing runs here; `make up` starts it.")
    return state.ports


def databases(settings: LocalSettings, home: Home) -> dict[str, str]:
    """Return the URL of each service's database.

    Raises:
        NotRunning: our own database does not run.
    """
    names = catalog.runnable(catalog.workloads())
    place = server(settings, home)
    secrets = passwords(home, names)
    return {name: place.of(name, secrets.databases[name]) for name in names}


def present_databases(settings: LocalSettings, home: Home) -> dict[str, str]:
    """Return the URL of each service's database that is there: not every shop runs all services.

    Raises:
        NotRunning: our own server does not run.
        Failure: it cannot be reached.
    """
    present = databases_on(server(settings, home))
    return {name: url for name, url in databases(settings, home).items() if name in present}


def server(settings: LocalSettings, home: Home) -> Database:
    """Return the server that the databases are on.

    Raises:
        NotRunning: it is ours, and does not run.
    """
    if settings.database_url is not None:
        home.create()
        return Database(settings.database_url.get_secret_value())
    return local_database(ports(home).postgres, passwords(home, ()).postgres)


def shop_address(settings: LocalSettings, home: Home) -> ShopAddress:  # noqa: ARG001 - a production home may differ
    """Return how to reach the running shop.

    Raises:
        NotRunning: nothing runs under `home`.
    """
    listening = ports(home)
    return ShopAddress(
        edge_url=f"http://{LOOPBACK}:{listening.edge}",
        grpc_target=f"{LOOPBACK}:{listening.edge}",
        credentials=credentials(home),
        identity=home.pki / "cli",
        services={name: f"{LOOPBACK}:{port}" for name, port in listening.services.items()},
    )
