"""What a workload may not do on the broker, asked of a real one: whoever gets hold of an account gets no further."""

import asyncio
import json
import subprocess
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from nats.aio.msg import Msg
from structlog.testing import capture_logs

from cli.local.binaries import nats_server
from mesh.bus.accounts import EMITTED, permissions
from mesh.bus.nats import NatsBus
from mesh.bus.port import BusUnavailable, NotStored, Publication
from mesh.bus.subjects import BadSubject, inbox_of, wakes_of
from mesh.policy import PolicyError
from tests.fixtures.brokers import account_url, contract
from tests.fixtures.servers import NatsServer, until

GENERATED = Path(__file__).parents[2] / "generated"
USER_EVENTS = "zoco-user"


class Intruder:
    """Whoever has got hold of a workload's account, with a plain client of the broker."""

    def __init__(self, workload: str, client: Client) -> None:
        self.workload = workload
        self.client = client
        self.denied: list[str] = []
        self._echoes: asyncio.Queue[bytes] = asyncio.Queue()

    async def open(self) -> None:
        """Listens to its own wakes, which it may both tell and hear."""

        async def hear(message: Msg) -> None:
            await self._echoes.put(message.data)

        await self.client.subscribe(wakes_of(self.workload), cb=hear)

    async def _settle(self) -> None:
        """Waits until the broker has dealt with all before: what it tells a connection keeps its order."""
        await self.client.publish(wakes_of(self.workload), b"echo")
        async with asyncio.timeout(10):
            await self._echoes.get()

    async def note(self, error: Exception) -> None:
        if "permissions violation" in str(error):
            self.denied.append(str(error))

    async def is_denied(self, subject: str, body: Mapping[str, Any] | None = None) -> bool:
        """Whether the broker refuses a message; what it does about the others is its own affair."""
        before = len(self.denied)
        await self.client.publish(subject, json.dumps(body or {}).encode())
        await self._settle()
        return len(self.denied) > before

    async def is_deaf(self, subject: str) -> bool:
        """Whether the broker refuses to let it listen."""
        before = len(self.denied)
        await self.client.subscribe(subject)
        await self._settle()
        return len(self.denied) > before


@asynccontextmanager
async def intruding(url: str, workload: str) -> AsyncIterator[Intruder]:
    client = Client()
    intruder = Intruder(workload, client)
    await client.connect(account_url(url, workload), inbox_prefix=inbox_of(workload), error_cb=intruder.note)
    await intruder.open()
    try:
        yield intruder
    finally:
        await client.close()


@pytest.fixture
async def order(nats: str) -> AsyncIterator[Intruder]:
    async with intruding(nats, "order") as intruder:
        yield intruder


@asynccontextmanager
async def a_bus(url: str, workload: str) -> AsyncIterator[NatsBus]:
    bus = NatsBus(account_url(url, workload), name=workload)
    await bus.start()
    try:
        await until(lambda: bus.connected)
        yield bus
    finally:
        await bus.close()


def an_event(subject: str) -> Publication:
    return Publication(id=subject, subject=subject, payload=b"", headers={})


async def test_a_workload_publishes_its_own_events_and_nobody_elses(order: Intruder) -> None:
    assert not await order.is_denied("zoco.order.v1.OrderPlaced")
    for subject in (
        "zoco.payment.v1.PaymentCaptured",
        "zoco.user.v1.UserDisabled",
        "zoco.order.v2.OrderPlaced",
        "zoco",
    ):
        assert await order.is_denied(subject), subject


async def test_nobody_reads_anothers_answers_wakes_or_events(order: Intruder) -> None:
    for subject in (
        *("_INBOX.payment.>", "_INBOX.>", "_INBOX.*.a", "wake.payment", "wake.*"),
        *("zoco.payment.v1.>", "zoco.user.v1.UserRegistered", "zoco.user.v1.*", "zoco.>", ">", "$JS.>", "$SYS.>"),
    ):
        assert await order.is_deaf(subject), subject
    assert not await order.is_deaf("_INBOX.order.a")


async def test_nobody_answers_in_anothers_name(order: Intruder) -> None:
    for subject in ("_INBOX.payment.a", "_INBOX.order.a", "wake.payment"):
        assert await order.is_denied(subject), subject


@pytest.mark.parametrize("verb", ["DELETE", "PURGE", "MSG.DELETE", "MSG.GET", "SNAPSHOT", "INFO", "RESTORE"])
async def test_nobody_deletes_empties_or_copies_a_stream_not_even_their_own(order: Intruder, verb: str) -> None:
    for stream in (USER_EVENTS, "zoco-order"):
        assert await order.is_denied(f"$JS.API.STREAM.{verb}.{stream}"), stream


async def test_nobody_makes_or_changes_the_stream_of_another(order: Intruder) -> None:
    for verb in ("CREATE", "UPDATE"):
        assert await order.is_denied(f"$JS.API.STREAM.{verb}.zoco-payment")
        assert not await order.is_denied(f"$JS.API.STREAM.{verb}.zoco-order")
    assert await order.is_denied("$JS.API.STREAM.NAMES")
    assert await order.is_denied("$JS.API.DIRECT.GET.zoco-user")


async def test_nobody_takes_what_waits_for_another(order: Intruder) -> None:
    assert await order.is_denied("$JS.API.CONSUMER.MSG.NEXT.zoco-user.notification")
    assert await order.is_denied("$JS.ACK.zoco-user.notification.1.2.3.4.5")
    assert await order.is_denied("$JS.API.CONSUMER.DELETE.zoco-user.notification")
    assert await order.is_denied("$JS.API.CONSUMER.INFO.zoco-user.notification")


async def test_nobody_changes_what_another_consumes(order: Intruder) -> None:
    """A consumer that exists is changed by making it: the names of the others' are not to be had."""
    for consumer in ("notification", "analytics"):
        assert await order.is_denied(f"$JS.API.CONSUMER.CREATE.zoco-user.{consumer}")
        assert await order.is_denied(f"$JS.API.CONSUMER.CREATE.zoco-user.{consumer}.zoco.user.v1.UserDisabled")
        assert await order.is_denied(f"$JS.API.CONSUMER.DURABLE.CREATE.zoco-user.{consumer}")


async def test_nobody_consumes_what_the_contract_does_not_say(nats: str, order: Intruder) -> None:
    async with a_bus(nats, "user") as user:
        await user.ensure_stream("user")
    for subject in (
        *(
            "zoco-payment.order",
            "zoco-user.order",
            "zoco-user.a.zoco.user.v1.UserRegistered",
            "zoco-user.a",
            "zoco-user",
        ),
        "zoco-user.order.zoco.user.v1.UserUpdated",
    ):
        assert await order.is_denied(f"$JS.API.CONSUMER.CREATE.{subject}"), subject
    # What the contract says: and with its name in the subject the broker takes no other filter in the request.
    asked = "$JS.API.CONSUMER.CREATE.zoco-user.order.zoco.user.v1.UserDeleted"
    for filters in ({"filter_subject": "zoco.user.v1.UserRegistered"}, {"filter_subjects": ["zoco.user.v1.>"]}, {}):
        config = {"name": "order", "durable_name": "order", "ack_policy": "explicit", **filters}
        answer = await order.client.request(asked, json.dumps({"stream_name": USER_EVENTS, "config": config}).encode())
        assert "error" in json.loads(answer.data), filters
    assert order.denied[-1].endswith('userupdated"')


@pytest.mark.parametrize(("user", "password"), [("stranger", "stranger"), ("order", "guess"), ("order", "payment")])
async def test_who_has_no_account_gets_nothing(own_nats: NatsServer, user: str, password: str) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", own_nats.port)
    await reader.readline()
    writer.write(
        b"CONNECT " + json.dumps({"verbose": False, "user": user, "pass": password}).encode() + b"\r\nPING\r\n"
    )
    assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
    writer.close()
    await writer.wait_closed()


@pytest.mark.parametrize("name", ["order.*", "*", ">", "order.>", "a b", "", "order\r\nPUB x 0", "zoco..order"])
async def test_wildcards_in_subjects_are_refused(nats: str, name: str) -> None:
    with pytest.raises(BadSubject):
        permissions(name, contract())
    with pytest.raises(BadSubject):
        NatsBus(nats, name=name)
    async with a_bus(nats, "order") as bus:
        subject = f"zoco.order.v1.{name}"
        for attempt in (bus.publish([an_event(subject)]), bus.notify(subject, b""), bus.ensure_stream(name)):
            with pytest.raises(BadSubject):
                await attempt


def test_a_workload_that_no_contract_names_has_no_account() -> None:
    with pytest.raises(PolicyError, match="stranger: no contract names this workload"):
        permissions("stranger", contract())


async def test_what_may_not_be_published_is_told_at_once_by_workload_and_subject(nats: str) -> None:
    async with a_bus(nats, "order") as bus:
        await bus.ensure_stream("order")
        mine, alien = an_event("zoco.order.v1.OrderPlaced"), an_event("zoco.payment.v1.PaymentCaptured")
        with capture_logs() as logs:
            for events in ([mine, alien], [mine, *([alien] * 40)]):  # each for itself, and as one batch
                async with asyncio.timeout(4):
                    stored = await bus.publish(events)
                assert isinstance(stored[0], int)
                assert [str(each) for each in stored[1:]] == [f"the broker denies {alien.subject}"] * (len(events) - 1)
                assert all(isinstance(each, NotStored) for each in stored[1:])
        line = next(each for each in logs if "denies" in each["event"])
        assert (line["log_level"], line["workload"], line["operation"]) == ("error", "order", "publish")
        assert line["subject"] == alien.subject.lower()


async def test_what_may_not_be_asked_is_no_silent_wait(nats: str) -> None:
    async with a_bus(nats, "order") as bus:
        for attempt in (bus.ensure_stream("payment"), bus.pull("payment", "order", ["zoco.payment.v1.A"]).__aenter__()):
            with pytest.raises(BusUnavailable, match=r"the broker denies \$JS\.API\..*zoco-payment"):
                async with asyncio.timeout(4):
                    await attempt


def test_the_emitted_accounts_are_what_a_server_takes(tmp_path: Path) -> None:
    (tmp_path / "authorization.conf").write_bytes((GENERATED / EMITTED).read_bytes())
    configuration = tmp_path / "nats.conf"
    configuration.write_text('include "authorization.conf"\n')
    names = [name for name in contract().workloads if name != "ledger"]
    environment = {f"ZOCO_NATS_PASSWORD_{name.upper()}": f"secret-of-{name}" for name in names}
    checked = subprocess.run(
        [str(nats_server()), "-t", "-c", str(configuration)],
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert checked.returncode == 0, checked.stderr
    assert "secret" not in (GENERATED / EMITTED).read_text()
    lacking = subprocess.run(
        [str(nats_server()), "-t", "-c", str(configuration)], env={}, capture_output=True, text=True, check=False
    )
    assert "variable reference" in lacking.stderr
