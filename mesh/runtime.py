"""What a service is built with, and what it is made of."""

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Sequence
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import grpc
import structlog
from prometheus_client import CollectorRegistry

from mesh.background import Background
from mesh.bus import Subscription
from mesh.channel import open_channel
from mesh.clock import Clock
from mesh.data.database import Database
from mesh.data.wakes import Wakes
from mesh.metrics import Metrics
from mesh.policy import Policy
from mesh.server import Servicer
from mesh.settings import MeshSettings
from mesh.tokens import FetchKeys
from mesh.tuning import RetryTuning

SettingsT = TypeVar("SettingsT", bound=MeshSettings)


class Runtime(Generic[SettingsT]):
    """What a service is built with: its settings, and the neighbours it may talk to."""

    def __init__(
        self,
        settings: SettingsT,
        *,
        policy: Policy,
        retry: RetryTuning,
        metrics: Metrics,
        database: Database | None,
        wakes: Wakes,
        background: Background,
        clock: Clock,
        log: structlog.stdlib.BoundLogger,
    ) -> None:
        self.settings = settings
        self.policy = policy
        self.wakes = wakes
        self.background = background
        self.clock = clock
        self.log = log
        self._retry = retry
        self._metrics = metrics
        self._database = database
        self._channels: dict[str, grpc.aio.Channel] = {}

    @property
    def database(self) -> Database:
        """The service's own database.

        Raises:
            LookupError: DATABASE_URL is not set.
        """
        if self._database is None:
            raise LookupError("DATABASE_URL: this service needs a database")
        return self._database

    @property
    def registry(self) -> CollectorRegistry:
        """Where the service's own metrics go."""
        return self._metrics.registry

    def channel(self, workload: str) -> grpc.aio.Channel:
        """The channel to a neighbour, opened when first asked for and closed with the process."""
        if workload not in self._channels:
            self._channels[workload] = open_channel(
                workload,
                policy=self.policy,
                addresses=self.settings.peers.get(workload, ()),
                pki_dir=self.settings.pki_dir,
                metrics=self._metrics,
                retry=self._retry,
                sidecar=self.settings.sidecar if self.settings.mesh == "envoy" else None,
            )
        return self._channels[workload]

    async def close_channels(self) -> None:
        """Closes all channels, after what uses them has ended."""
        await asyncio.gather(*(channel.close() for channel in self._channels.values()))


@dataclass(frozen=True)
class Service:
    """What a service is made of; built by its `build`."""

    servicers: Sequence[Servicer]
    """Generated `add_XServicer_to_server` functions and their servicers."""
    subscriptions: Sequence[Subscription] = ()
    """Which events it handles, from `on` and `on_batch`."""
    tasks: Sequence[Callable[[], Coroutine[Any, Any, None]]] = ()
    """Loops that run as long as the process, such as a saga worker."""
    token_keys: FetchKeys | None = None
    """Given by the service that owns the keys: gives the JSON Web Key Set without a call to itself."""


Build = Callable[[Runtime[SettingsT]], Awaitable[Service]]
"""A service's constructor, the same in production and in tests."""
