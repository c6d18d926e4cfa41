"""NATS as this machine runs it: what it acknowledged is on disk, and nobody publishes without the password."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

import nats
import pytest
from nats.js.api import AckPolicy

from cli.local.broker import OPERATOR, authorization, nats_process, nats_url
from cli.local.catalog import events
from cli.local.home import Home
from cli.local.ports import Ports
from cli.local.probes import http_json
from cli.local.spawning import ExecSpawner
from cli.local.supervisor import Supervisor
from mesh.bus.nats import NatsBus
from tests.cli.checkout import until
from tests.ports import free_port


@dataclass(frozen=True)
class Broker:
    supervisor: Supervisor
    port: int
    monitor: int

    @property
    def url(self) -> str:
        return nats_url(self.port, OPERATOR, "sec-r_et")


@pytest.fixture
async def broker(home: Home) -> AsyncIterator[Broker]:
    port, monitor = free_port(), free_port()
    accounts = authorization(events(), "sec-r_et", {"order": "or-d_er", "payment": "pay-m_ent"})
    supervisor = Supervisor(home.run_file, Ports(1, 2, 3, 4, {}, {}, 5, port, monitor), None, ExecSpawner())
    await supervisor.start([nats_process(home, port, monitor, accounts, start_seconds=30.0)])
    yield Broker(supervisor, port, monitor)
    await supervisor.drain()


async def test_an_acknowledged_message_survives_kill_9(broker: Broker) -> None:
    client = await nats.connect(broker.url)
    stream = client.jetstream()
    await stream.add_stream(name="events", subjects=["events.>"])
    sequence = (await stream.publish("events.placed", b"order 1")).seq
    os.kill(broker.supervisor.report()[0].pid or 0, signal.SIGKILL)
    await client.close()
    await until(lambda: broker.supervisor.report()[0].restarts == 1, "it is restarted")
    await until(lambda: broker.supervisor.report()[0].state == "healthy", "it has recovered")
    client = await nats.connect(broker.url)
    assert (await client.jetstream().get_msg("events", sequence)).data == b"order 1"
    await client.close()


async def test_every_message_is_synced_before_its_acknowledgement(broker: Broker) -> None:
    state = cast("dict[str, dict[str, object]]", await http_json(broker.monitor, "/jsz?config=true"))
    assert state["config"]["sync_always"] is True


async def test_nobody_gets_in_without_the_password(broker: Broker) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", broker.port)
    assert (await reader.readline()).startswith(b"INFO ")
    writer.write(b'CONNECT {"verbose":false}\r\nPING\r\n')
    assert await reader.readline() == b"-ERR 'Authorization Violation'\r\n"
    writer.close()
    await writer.wait_closed()


async def test_a_workload_is_held_to_what_its_contract_says(broker: Broker) -> None:
    denied: list[str] = []

    async def note(error: Exception) -> None:
        denied.append(str(error))

    url = nats_url(broker.port, "order", "or-d_er")
    client = await nats.connect(url, inbox_prefix="_INBOX.order", error_cb=note)
    await client.publish("zoco.payment.v1.PaymentCaptured", b"")
    await until(lambda: any("permissions violation" in each for each in denied), "the broker says so")
    await client.close()


async def test_a_consumer_made_before_there_were_accounts_goes_on(broker: Broker) -> None:
    """It was made with a list of one event, and the account lets it be asked for by that event's name only."""
    deleted = "zoco.user.v1.UserDeleted"
    operator = await nats.connect(broker.url)
    stream = operator.jetstream()
    await stream.add_stream(name="zoco-user", subjects=["zoco.user.v1.>"])
    await stream.add_consumer(
        "zoco-user", durable_name="order", name="order", filter_subjects=[deleted], ack_policy=AckPolicy.EXPLICIT
    )
    await stream.publish(deleted, b"of before")
    await operator.close()
    bus = NatsBus(nats_url(broker.port, "order", "or-d_er"), name="order")
    await bus.start()
    await until(lambda: bus.connected, "it is connected")
    async with bus.pull("user", "order", [deleted]) as pull:
        assert [each.payload for each in await pull.fetch(10)] == [b"of before"]
    await bus.close()


async def test_it_listens_on_loopback_only(broker: Broker) -> None:
    state = cast("dict[str, object]", await http_json(broker.monitor, "/varz"))
    assert (state["host"], state["http_host"]) == ("127.0.0.1", "127.0.0.1")
