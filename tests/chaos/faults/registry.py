"""All faults there are."""

from typing import Final

from tests.chaos.faults import broker, database, disks, processes
from tests.chaos.faults.fault import Faults

FAULTS: Final[Faults] = (*processes.FAULTS, *database.FAULTS, *broker.FAULTS, *disks.FAULTS)
