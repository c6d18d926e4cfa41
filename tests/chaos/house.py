"""The shop that the chaos run breaks: started as `make up` does it, armed, and audited after what was done to it."""

import asyncio
import json
import os
import time
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from contextlib import AbstractContextManager, ExitStack, contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final
from urllib.parse import urlsplit, urlunsplit

import nats

from cli.local.broker import OPERATOR, nats_url
from cli.local.home import Home
from cli.local.ports import Ports
from cli.local.postgres import local_database
from cli.local.runfile import read_run_state
from mesh.crashpoints import REACHED, VARIABLE
from tests.chaos.outside import Outside, proxied
from tests.chaos.proxy import Proxy
from tests.journeys.running import PROJECT, RunningShop
from tests.ports import free_port

SETTINGS: Final[Mapping[str, str]] = {
    # A process that died is back at once, however often it dies: the proof is of what it left, not of the patience.
    "ZOCO_RESTART_BACKOFF_MOST": "0.5",
    "ZOCO_ORDER_LEASE": "PT1.5S",
    "ZOCO_ORDER_BACK_OFF_MOST": "PT2S",
    "ZOCO_DRAIN_SECONDS": "0.3",
}
"""What differs from `make up`: how soon things are tried again. Nothing that decides what is kept."""


@dataclass(frozen=True)
class Verdict:
    """What the audit found."""

    breaches: Sequence[str]
    """A line each; empty where all is well."""
    seconds: float
    """How long it took until the shop was at rest."""


@dataclass(frozen=True)
class House:
    """A shop that runs, and where it is told to die."""

    shop: RunningShop
    sentences: Path
    brief: bool = False
    """Whether what is done to it is to be done in a short form."""
    proxies: Mapping[Outside, Proxy] = field(default_factory=dict)
    """What stands before those servers that are not its own."""
    foreign_broker: str = ""
    """The URL of a broker that is not its own, by no proxy; empty where the broker is the shop's."""

    def sentence(self, point: str) -> None:
        """Tells the process that comes to a point next to die there."""
        (self.sentences / point).touch()

    def is_pending(self, point: str) -> bool:
        """Whether nobody has come to that point since."""
        return (self.sentences / point).exists()

    def pardon(self, point: str) -> bool:
        """Takes a sentence back; whether it was still pending."""
        try:
            (self.sentences / point).unlink()
        except FileNotFoundError:
            return False
        return True

    @property
    def reached(self) -> frozenset[str]:
        """Every point that any process came by since the shop was started."""
        return frozenset(each.name for each in (self.sentences / REACHED).iterdir())

    def forget_reached(self) -> frozenset[str]:
        """Begins anew to note what is reached; gives what was."""
        before = self.reached
        for name in before:
            (self.sentences / REACHED / name).rmdir()
        return before

    def remember_reached(self, points: Iterable[str]) -> None:
        """Notes points as reached after all."""
        for name in points:
            (self.sentences / REACHED / name).mkdir(exist_ok=True)

    @property
    def home(self) -> Home:
        """Where its files are."""
        return Home(self.shop.home)

    def database(self, service: str) -> str:
        """The URL of a service's database, with the rights of whoever runs PostgreSQL."""
        server = urlsplit(local_database(self._ports.postgres, self._secrets["postgres"]).url)
        return urlunsplit(server._replace(path=f"/{service}"))

    @property
    def broker(self) -> str:
        """The URL of the broker, with the rights of whoever runs it."""
        return nats_url(self._ports.nats, OPERATOR, self._secrets["nats"])

    @property
    def _ports(self) -> Ports:
        state = read_run_state(self.home.run_file)
        if state is None:
            raise FileNotFoundError(f"{self.home.run_file}: nothing was started here")
        return state.ports

    @property
    def _secrets(self) -> Mapping[str, Any]:
        secrets: Mapping[str, Any] = json.loads(self.home.secrets_file.read_text())
        return secrets

    async def audit(self, acknowledged: Sequence[str], *, poison: int = 0, settle: float = 120) -> Verdict:
        """Waits until the shop is at rest and holds it against the invariants (`zoco audit`)."""
        began = time.monotonic()
        try:
            await asyncio.to_thread(self.shop.wait_until_healthy, settle)
        except AssertionError as ill:
            return Verdict([f"the shop is not healthy again after {settle:.0f} s: {ill}"], time.monotonic() - began)
        if self.foreign_broker:
            # The audit asks a broker's monitor what waits there. This one is not the shop's, and has none for it.
            await _nothing_waits(self.foreign_broker, settle)
        ids = self.shop.home / "acknowledged.txt"
        ids.write_text("".join(f"{each}\n" for each in acknowledged))
        done = await asyncio.to_thread(
            self.shop.zoco,
            *("audit", "--json", "--settle", str(settle), "--acknowledged", str(ids), "--poison", str(poison)),
            check=False,
            timeout=settle + 120,
        )
        took = time.monotonic() - began
        if done.returncode == 2 or not done.stdout:
            return Verdict([f"the audit could not look: {done.stderr.strip() or done.stdout}"], took)
        told = json.loads(done.stdout)
        return Verdict([_line(each) for each in told["invariants"] if each["breaches"]], took)


@contextmanager
def open_house(
    settings: Mapping[str, str] | None = None,
    *,
    brief: bool = False,
    through: Sequence[Outside] = (),
    prepare: Callable[[Path], AbstractContextManager[None]] | None = None,
    project: Path = PROJECT,
) -> Iterator[House]:
    """A shop of its own; stopped and deleted at the end.

    Args:
        settings: What it is told beyond `SETTINGS`.
        brief: See House.
        through: Servers that it reaches through a proxy.
        prepare: What is done to its home before the first start, and undone after the end.
        project: The checkout that it is started from.
    """
    with TemporaryDirectory(prefix="zoco-chaos-") as directory, ExitStack() as stack:
        home = Path(directory) / "home"
        sentences = Path(directory) / "crash"
        (sentences / REACHED).mkdir(parents=True)
        os.chmod(sentences, 0o700)  # noqa: PTH101 - whoever may write there may kill
        outside = {each: stack.enter_context(proxied(each, Path(directory))) for each in through}
        told = {**SETTINGS, VARIABLE: str(sentences), **(settings or {})}
        for each in outside.values():
            told |= each.settings
        shop = RunningShop(home, free_port(), settings=told, project=project)
        if prepare is not None:
            stack.enter_context(prepare(home))
        try:
            shop.up()
            broker = outside[Outside.NATS].direct if Outside.NATS in outside else ""
            yield House(shop, sentences, brief, {what: each.proxy for what, each in outside.items()}, broker)
        finally:
            shop.zoco("down", check=False)


async def _nothing_waits(url: str, limit: float) -> None:
    """Waits until no consumer of a broker has anything to come, at most `limit` seconds; the audit tells if not."""
    broker = await nats.connect(url)
    try:
        streams = broker.jetstream()
        end = time.monotonic() + limit
        waiting = 1
        while waiting and time.monotonic() < end:
            consumers = [
                consumer
                for stream in await streams.streams_info()
                for consumer in await streams.consumers_info(str(stream.config.name))
            ]
            waiting = sum((each.num_pending or 0) + (each.num_ack_pending or 0) for each in consumers)
            await asyncio.sleep(0.25)
    finally:
        await broker.close()


def _line(invariant: Mapping[str, Any]) -> str:
    examples = ", ".join(str(each) for each in invariant["examples"])
    return f"{invariant['id']} {invariant['title']}: {invariant['breaches']} ({examples})"
