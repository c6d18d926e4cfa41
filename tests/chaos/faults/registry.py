"""All faults there are."""

from typing import Final

from tests.chaos.faults import network, processes
from tests.chaos.faults.fault import Faults

FAULTS: Final[Faults] = (*processes.FAULTS, *network.FAULTS)
