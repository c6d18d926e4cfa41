"""Servers that do not belong to the shop, and that it reaches through a proxy of ours."""

from collections.abc import Iterator, Mapping
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import Enum
from pathlib import Path
from typing import assert_never

from tests.chaos.proxy import Proxy
from tests.fixtures.servers import LOOPBACK, SUPERUSER, NatsServer, PostgresServer


class Outside(Enum):
    """What the shop stands on, and need not run itself."""

    POSTGRES = "postgres"
    NATS = "nats"


@dataclass(frozen=True)
class Proxied:
    """A server behind its proxy."""

    proxy: Proxy
    settings: Mapping[str, str]
    """How the shop is told of it."""
    direct: str
    """The URL that goes by no proxy."""


@contextmanager
def proxied(what: Outside, directory: Path) -> Iterator[Proxied]:
    """Runs a server under a directory, and a proxy before it."""
    with ExitStack() as stack:
        match what:
            case Outside.POSTGRES:
                # As many connections as our own allows: a line that was given up keeps its session for a while.
                database = PostgresServer(directory / what.value, max_connections="300")
                database.start()
                stack.callback(database.stop)
                proxy = _before(database.port, stack)
                # Nobody needs a password on the server of the tests, but a connection string of `zoco up` carries one.
                url = f"postgresql://{SUPERUSER}@{LOOPBACK}:{proxy.port}/postgres"
                direct = f"postgresql://{SUPERUSER}@{LOOPBACK}:{database.port}/postgres"
                yield Proxied(proxy, {"DATABASE_URL": url}, direct)
            case Outside.NATS:
                broker = NatsServer(directory / what.value)
                broker.start()
                stack.callback(broker.stop)
                proxy = _before(broker.port, stack)
                # Who gives no account is the operator there: what the shop's own broker lets a workload do, other tests
                # ask (tests/security); here it is about the line.
                yield Proxied(proxy, {"NATS_URL": f"nats://{LOOPBACK}:{proxy.port}"}, broker.url)
            case _:
                assert_never(what)


def _before(port: int, stack: ExitStack) -> Proxy:
    proxy = Proxy(port)
    proxy.start()
    stack.callback(proxy.close)
    return proxy
