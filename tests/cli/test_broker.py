"""NATS as this machine runs it: what it acknowledged is on disk, and nobody publishes without the password."""

import asyncio
import os
import signal
from collections.abc import AsyncIterator
from dataclasses import dataclass
from typing import cast

import nats
import pytest

from cli.local.broker import OPERATOR, authorization, nats_process, nats_url
from cli.local.catalog import events
from cli.local.home import Home
from cli.local.ports import Ports
from cli.local.probes import http_json
from cli.local.spawning import ExecSpawner
from cli.local.supervisor import Supervisor
from tests.cli.checkout import free_port, until


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


async def test_it_listens_on_loopback_only(broker: Broker) -> None:
    state = cast("dict[str, object]", await http_json(broker.monitor, "/varz"))
    assert (state["host"], state["http_host"]) == ("127.0.0.1", "127.0.0.1")
