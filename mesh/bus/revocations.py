"""Follows the events that end somebody's access tokens, so that this process refuses those tokens, too.

It listens, and after each connection it reads what the last 16 minutes brought: so a process that was started anew
knows, and no outage leaves a gap. While the broker is away nothing is heard, and the tokens work until it is back.
"""

import asyncio
from collections.abc import Mapping
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from google.protobuf.message import DecodeError, Message

from mesh.bus.contract import EventContract
from mesh.bus.envelope import Envelope, Unreadable
from mesh.bus.port import Bus, BusUnavailable, StreamMissing, Told
from mesh.bus.subjects import area_of
from mesh.logs import logger
from mesh.messages import message_classes
from mesh.revocation import REMEMBERED, Revocations

LOOK_SECONDS: Final = 0.5
"""How often the connection is looked at."""
FIRST_LOOK_SECONDS: Final = 0.02
"""The same until there is one: whoever starts waits for it."""
FORGET_SECONDS: Final = 60.0
"""How often revocations are dropped that cannot matter any more."""


class RevocationFollower:
    """Tells a process's Revocations what the broker tells.

    Args:
        bus: The broker.
        revocations: What is told.
        contract: Says which events end tokens, and whose.
        descriptors: The descriptor set, since this process may have no generated code for those events.
    """

    def __init__(self, bus: Bus, revocations: Revocations, *, contract: EventContract, descriptors: Path) -> None:
        self._bus = bus
        self._revocations = revocations
        self._fields: Mapping[str, str] = contract.revoking
        self._classes: Mapping[str, type[Message]] = message_classes(descriptors, list(contract.revoking))
        self._caught_up = asyncio.Event()
        self._log = logger("revocations")

    async def listen(self) -> None:
        """Begins to hear what is published from now on."""
        for event in self._fields:
            await self._bus.overhear(event, self._hear)

    async def caught_up(self, seconds: float) -> bool:
        """Waits until the past was read once, at most so many seconds; tells whether it was."""
        try:
            async with asyncio.timeout(seconds):
                await self._caught_up.wait()
        except TimeoutError:
            return False
        return True

    async def run(self) -> None:
        """Reads the past after each connection, until cancelled."""
        read_at_connection = 0
        loop = asyncio.get_running_loop()
        forget_at = loop.time() + FORGET_SECONDS
        while True:
            pause = LOOK_SECONDS if self._bus.connections else FIRST_LOOK_SECONDS
            connection = self._bus.connections
            if self._bus.connected and connection != read_at_connection:
                try:
                    await self._read_past()
                except BusUnavailable as error:
                    self._log.warning("revocations cannot be read now", error=str(error))
                else:
                    read_at_connection = connection
                    self._caught_up.set()
            if loop.time() >= forget_at:
                self._revocations.forget()
                forget_at = loop.time() + FORGET_SECONDS
            await asyncio.sleep(pause)

    async def _read_past(self) -> None:
        since = datetime.now(UTC) - REMEMBERED
        for event in self._fields:
            try:
                past = await self._bus.history(area_of(event), event, since)
            except StreamMissing:
                continue  # nobody has published anything; what comes is heard
            for told in past:
                await self._hear(told)

    async def _hear(self, told: Told) -> None:
        try:
            envelope = Envelope.read(told.headers)
            event = self._classes[told.subject].FromString(told.payload)
        except (Unreadable, DecodeError) as error:
            self._log.warning("an event that ends tokens cannot be read", subject=told.subject, error=str(error))
            return
        self._revocations.revoke(getattr(event, self._fields[told.subject]), envelope.time)
