"""All faults there are."""

from typing import Final

from tests.chaos.faults import clock, descriptors, keys, network, processes, restarts
from tests.chaos.faults.fault import Faults

FAULTS: Final[Faults] = (
    *processes.FAULTS,
    *network.FAULTS,
    *restarts.FAULTS,
    *descriptors.FAULTS,
    *keys.FAULTS,
    *clock.FAULTS,
)
