"""All faults there are."""

from typing import Final

from tests.chaos.faults import broker, clock, database, descriptors, disks, keys, network, processes, restarts
from tests.chaos.faults.fault import Faults

FAULTS: Final[Faults] = (
    *processes.FAULTS,
    *database.FAULTS,
    *broker.FAULTS,
    *disks.FAULTS,
    *network.FAULTS,
    *restarts.FAULTS,
    *descriptors.FAULTS,
    *keys.FAULTS,
    *clock.FAULTS,
)
